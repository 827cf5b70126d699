"""`MODEL_CARD.md`: what an exported encoder is, what it was trained on, what it reaches and where it ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dshgan_tf.data import Splits
from dshgan_tf.files import atomic_path

MODEL_CARD = "MODEL_CARD.md"
MOST_NAMES = 30  # class names that are written out
METRICS = {
    "map": "MAP of the whole ranking",
    "map_asymmetric": "the same, equal distances ordered by the asymmetric distance",
    "map_at_k": "MAP at k",
    "precision_at_k": "precision at k",
    "precision_radius_2": "precision within 2 bits",
    "recall_radius_2": "recall within 2 bits",
    "accuracy": "accuracy of the class stream",
    "map_seen": "MAP, queries of labelled classes",
    "map_unseen": "MAP, queries of classes without labels",
    "map_among_unseen": "MAP, these among images of such classes",
}
METHODS = {
    "dsh-gan": "labelled, unlabelled and generated images (DSH-GAN)",
    "semi-supervised": "labelled and unlabelled images, none generated",
    "supervised": "labelled images alone",
}


class ModelCard:
    """Fill in the card of a run's encoder.

    Args:
        name: of the run.
        results: what the run's `results.json` holds.
        splits: its data.
        micro: whether it is of an encoder for microcontrollers, which takes and returns int8.
    """

    def __init__(self, name: str, results: dict[str, Any], splits: Splits, micro: bool = False) -> None:
        """Keep what the card says; see the class."""
        self._name, self._results, self._splits, self._micro = name, results, splits, micro

    def write(self, folder: Path, checks: Iterable[dict[str, Any]]) -> None:
        """Write the card beside the exported encoders.

        Args:
            folder: of the export.
            checks: the rows of its `export_report.json`.
        """
        parts = [self._opening(), self._use(), self._training(), self._figures(), _exports(checks), self._limits()]
        with atomic_path(folder / MODEL_CARD) as path:
            path.write_text("\n\n".join(parts) + "\n")

    def _opening(self) -> str:
        bits, classes = self._results["num_bits"], self._splits.num_classes
        return (
            f"# {self._name}: {bits}-bit image codes\n\n"
            f"This encoder turns an image into {bits} bits. Images that share a label get codes that differ in few "
            f"bits. It was trained by dshgan_tf {self._results['versions']['dshgan_tf']} on {classes} classes of "
            f"{self._splits.name}, after Qiu, Pan, Yao and Mei, *Deep Semantic Hashing with Generative Adversarial "
            "Networks*, SIGIR 2017."
        )

    def _use(self) -> str:
        height, width, channels = self._splits.image_shape
        names = self._splits.class_names
        more = f", and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        bits = self._results["num_bits"]
        pixels, made = "pixels 0..255", f"`codes`, {-(-bits // 8)} bytes an image, the most significant bit first"
        if self._micro:
            pixels, made = "int8, a pixel 0..255 less 128", f"{bits} relaxed codes, int8; a bit is 1 above 0"
        return (
            "## Use\n\n"
            f"- Input: {pixels}, {height} x {width} x {channels}; the scaling is part of the network.\n"
            f"- Output: {made}.\n"
            "- Meant for: finding images that share a label with a query, by Hamming distance.\n"
            f"- Classes: {', '.join(names[:MOST_NAMES])}{more}."
        )

    def _training(self) -> str:
        results, splits = self._results, self._splits
        several = "several labels an image" if splits.multi_label else "one label an image"
        rows = [
            ("method", METHODS[results["method"]]),
            ("data", f"{splits.name}, protocol {splits.protocol}, {several}, seed {splits.seed}"),
            ("labels a class", f"{results['labels_per_class']:,}, validation images included"),
            ("labelled images", f"{len(splits.labeled):,} for training, {len(splits.validation):,} for validation"),
            ("unlabelled images", f"{len(splits.unlabeled) if results['method'] != 'supervised' else 0:,}"),
            ("steps", f"{results['steps']:,}, {results['train_seconds'] / 60:.1f} minutes"),
            ("TensorFlow, Keras", f"{results['versions']['tensorflow']}, {results['versions']['keras']}"),
            ("source", f"commit {results['git_commit']}" if results["git_commit"] else "an installed package"),
        ]
        return "## Training\n\n" + _table(("what", "value"), rows)

    def _figures(self) -> str:
        results, splits = self._results, self._splits
        metrics = results["metrics"]
        rows = [(meaning, f"{metrics[key]:.4f}") for key, meaning in METRICS.items() if key in metrics]
        return (
            f"## Figures\n\n{len(splits.query):,} query images that training never saw search {len(splits.database):,} "
            f"images. k is {results['k']:,}; the policy is {results['policy']}. This is one run, seed "
            f"{results['seed']}.\n\n" + _table(("metric", "value"), rows)
        )

    def _limits(self) -> str:
        unseen = self._splits.unseen_names
        known = (
            f"Nobody labelled the classes {', '.join(unseen)}; the figures for such queries stand apart."
            if unseen
            else "Classes that training never saw were not measured; expect much less there."
        )
        return (
            "## Limits\n\n"
            "- The figures hold for images like those of the training. Other cameras, sizes or kinds of pictures were "
            "not measured.\n"
            f"- {known}\n"
            f"- {len(self._splits.skipped):,} files of the data could not be read and took no part.\n"
            "- Codes of different models cannot be compared.\n"
            "- Licence of the data, and what it allows for this model: to be filled in by whoever publishes it."
        )


def _exports(checks: Iterable[dict[str, Any]]) -> str:
    rows = [
        (
            check["name"],
            f"{check['kib']:.0f}",
            f"{check['agreement']:.4%}",
            f"{check['map']:.4f}",
            f"{check['milliseconds']:.2f}",
        )
        for check in checks
    ]
    return (
        "## This export beside Keras\n\nMAP is on a sample of the database here. Times are of the machine that made "
        "the export.\n\n" + _table(("encoder", "KiB", "equal bits", "MAP", "ms, 1 image"), rows)
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
