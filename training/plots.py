"""Pictures of a run: who was found, what the generator draws, how the training went; and of several runs together."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import dshgan_tf as dsh
from dshgan_tf.callbacks import write_png
from dshgan_tf.data import Splits
from dshgan_tf.files import atomic_path
from training.tables import method_of

RIGHT, WRONG, QUERY = "#1a9850", "#d73027", "#333333"
COLOURS = {"with GAN": "#1f77b4", "without GAN": "#ff7f0e", "no synthetic images": "#9467bd"}


def draw_run(splits: Splits, workdir: Path, query_codes: np.ndarray, database_codes: np.ndarray, num_bits: int) -> None:
    """Write the pictures of one run to `plots/`: retrieval grid, learning curves, and one query as a file of its own.

    Args:
        splits: the data of the run.
        workdir: folder of the run.
        query_codes: (Q, ceil(K/8)) uint8.
        database_codes: (N, ceil(K/8)) uint8.
        num_bits: K.
    """
    plots = workdir / "plots"
    _save(retrieval_grid(splits, query_codes, database_codes, num_bits), plots / "retrieval.png")
    image = splits.query.images[:1][0]
    write_png(plots / "query.png", image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1))
    if (workdir / "metrics.csv").exists():
        _save(learning_curves(workdir / "metrics.csv"), plots / "learning_curves.png")


def draw_comparison(workdirs: list[Path], folder: Path) -> list[Path]:
    """Write the precision-recall curves of several finished runs.

    Args:
        workdirs: folders of finished runs.
        folder: where the picture goes.

    Returns:
        The pictures.
    """
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    seen: set[str] = set()
    for workdir in workdirs:
        results = json.loads((workdir / "results.json").read_text())
        with np.load(workdir / "codes.npz") as codes:
            curve = dsh.retrieval.precision_recall_curve(
                codes["query_codes"],
                codes["query_labels"],
                codes["database_codes"],
                codes["database_labels"],
                num_bits=results["num_bits"],
            )
        method = method_of(results)
        label = f"{method}, MAP {results['metrics']['map']:.3f}"
        label += f", seed {results['seed']}" if method in seen else ""
        seen.add(method)
        axes.plot(curve["recall"], curve["precision"], ".-", color=COLOURS[method], label=label, markersize=4)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.set_title("Precision and recall within every Hamming radius")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    _save(figure, folder / "precision_recall.png")
    return [folder / "precision_recall.png"]


def retrieval_grid(
    splits: Splits, query_codes: np.ndarray, database_codes: np.ndarray, num_bits: int, top: int = 10
) -> Figure:
    """Draw one query a class with its nearest images, right ones framed green and wrong ones red.

    Args:
        splits: the data.
        query_codes: (Q, ceil(K/8)) uint8.
        database_codes: (N, ceil(K/8)) uint8.
        num_bits: K.
        top: images found for each query.

    Returns:
        The figure.
    """
    query_rows = splits.multi_hot(splits.query.labels)
    chosen = [int(np.flatnonzero(query_rows[:, label])[0]) for label in range(min(splits.num_classes, 10))]
    index = dsh.HammingIndex(num_bits)
    index.add(database_codes)
    distances, found = index.search(query_codes[chosen], k=min(top, len(database_codes)))
    database_rows = splits.multi_hot(splits.database.labels)
    figure, axes = plt.subplots(
        len(chosen), found.shape[1] + 1, figsize=(0.85 * (found.shape[1] + 1), 0.95 * len(chosen)), layout="constrained"
    )
    figure.suptitle("Queries (left) and their nearest images: right green, wrong red, Hamming distance below", size=9)
    for row, query in enumerate(chosen):
        _show(axes[row, 0], splits.query.images[[query]][0], QUERY, splits.class_names[row])
        for column, (distance, item) in enumerate(zip(distances[row], found[row], strict=True), start=1):
            right = bool(query_rows[query] @ database_rows[item])
            _show(axes[row, column], splits.database.images[[item]][0], RIGHT if right else WRONG, str(distance))
    return figure


def _show(axes: plt.Axes, image: np.ndarray, colour: str, caption: str) -> None:
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, size=7, labelpad=1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=colour, linewidth=4)
    axes.add_patch(frame)


def learning_curves(metrics_csv: Path) -> Figure:
    """Draw the losses of both players, the scores of the adversary, and accuracy and `val_map`, over the epochs."""
    with metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    panels = {
        "encoder": [name for name in rows[0] if name.endswith("_loss") and not name.startswith("generator")],
        "generator": [name for name in rows[0] if name.startswith("generator")],
        "scores": ["accuracy", "triplet_accuracy", "real_score", "synthetic_score", "pseudo_label_rate", "val_map"],
    }
    panels = {
        title: [n for n in names if n in rows[0] and any(row[n] for row in rows)] for title, names in panels.items()
    }
    panels = {title: names for title, names in panels.items() if names}
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 3.6), layout="constrained", squeeze=False)
    for panel, (title, names) in zip(axes[0], panels.items(), strict=True):
        for name in names:
            points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
            panel.plot(*zip(*points, strict=True), ".-", label=name.replace("_", " "), markersize=4)
        panel.set(title=title, xlabel="epoch")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
    plt.close(figure)
