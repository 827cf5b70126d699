"""Classes that do not exist, made by the generator or by mixing real images: do they help with unseen classes?

    python benchmarks/virtual_classes.py --data digits --output virtual.json
    python benchmarks/virtual_classes.py --data scenes/labels.csv --images 6000 --backbone lite0.keras --output v.json

For each anchor of a batch, of class a, and its negative class b there is a virtual class of the pair. Two images of it
are made: by the generator, asked for half of each label; or as the mean of a real image of a and one of b (proxy
synthesis, Gu et al., AAAI 2021, on what the network takes). Triplets among real and virtual images keep the images of a
virtual class together, and away from all others. A row in the output is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

sys.path.insert(0, str(Path(__file__).parent))
from dshgan_tf.training.comparison import paired_difference
from dshgan_tf.training.unseen_classes import KINDS, codes_ranker, map_by_kind
from photographs import features_of
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.codes import unpack
from dshgan_tf.data.feature_splits import with_teacher
from dshgan_tf.data.protocols import Protocol, split
from dshgan_tf.data.source import Source
from dshgan_tf.data.splits import Splits
from dshgan_tf.files import write_json
from dshgan_tf.losses import batch_triplet_loss
from dshgan_tf.losses.terms import Images
from dshgan_tf.models.normalization import frozen_statistics

WAYS = ("neither", "proxy synthesis", "generator")
WEIGHTS = (0.1, 1.0)  # of the added triplets


class WithVirtualClasses(dsh.DSHGAN):
    """DSH-GAN with triplets of virtual classes.

    Args:
        way: one of `WAYS`.
        weight: of the added term.
        **arguments: as of `DSHGAN`.
    """

    def __init__(self, way: str = "neither", weight: float = 0.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.way, self.weight = way, weight

    def hash_batch(self, data: dict[str, Any], encoder: Any, training: bool) -> Any:
        """As of `DSHGAN`; keeps the loss of the virtual classes for `update_encoder`'s sum."""
        batch = super().hash_batch(data, encoder, training)
        if training and self.way != "neither":
            images, pairs = self.virtual(data)
            with frozen_statistics(encoder):
                codes = encoder.streams(self.augmenter.strong(ops.stop_gradient(images), members=2), training=True)
            self.pull = self.apart(batch.real, codes["relaxed_codes"], pairs)
        return batch

    def virtual(self, data: dict[str, Any]) -> tuple[Any, Any]:
        """Return two images of the virtual class of each anchor, (2 A, ...), and its two labels (A, L)."""
        own, other = self.anchors(data["label"]), self.anchors(data["negative_label"])
        pairs = ops.cast(own + other, "float32")
        if self.way == "generator":
            noise = keras.random.normal((2 * ops.shape(own)[0], self.generator.noise_dim), seed=self.seed_generator)
            with frozen_statistics(self.generator):
                return self.generator([noise, ops.tile(pairs / 2, (2, 1))], training=True), pairs
        images = ops.cast(data["image"], "float32")
        return ops.concatenate([self.mean_of_both(images, data["label"], own, other) for _ in range(2)]), pairs

    def mean_of_both(self, images: Any, labels: Any, own: Any, other: Any) -> Any:
        """Return the mean of an image of each of two labels, drawn from the batch; without one, any image."""
        halves = []
        for wanted in (own, other):
            chances = ops.log(
                ops.matmul(ops.cast(wanted, "float32"), ops.transpose(ops.cast(labels, "float32"))) + 1e-6
            )
            rows = tf.random.categorical(chances, 1)[:, 0]
            halves.append(ops.take(images, rows, axis=0))
        return (halves[0] + halves[1]) / 2

    def apart(self, real: Images, codes: Any, pairs: Any) -> Any:
        """Return the triplet loss (B + 2 A,) of real and virtual images, each virtual class one of its own."""
        number = ops.cast(ops.argsort(pairs, axis=-1)[:, -2:], "float32")  # the two labels of a pair
        ids = ops.sort(number, axis=-1) @ ops.convert_to_tensor([[float(self.num_classes)], [1.0]])
        ids = ops.cast(ids[:, 0], "int32") + self.num_classes
        size = self.num_classes**2 + 2 * self.num_classes
        labels = ops.concatenate(
            [
                ops.pad(ops.cast(real.labels, "float32"), ((0, 0), (0, size - self.num_classes))),
                ops.one_hot(ops.tile(ids, 2), size),
            ]
        )
        every = ops.concatenate([real.relaxed_codes, codes])
        return batch_triplet_loss(every, labels, every, labels, self.objective.margin)

    def update_encoder(self, data: dict[str, Any]) -> Any:
        """As of `DSHGAN`, with the added term."""
        weighted = self.training_metrics.weighted_sum

        def with_virtual(name: str, terms: Any) -> Any:
            found = weighted(name, terms)
            if name != "encoder_loss" or self.way == "neither":
                return found
            return found + self.weight * self.ramp() * ops.mean(self.pull)

        self.training_metrics.weighted_sum = with_virtual
        try:
            return super().update_encoder(data)
        finally:
            self.training_metrics.weighted_sum = weighted


def found_by(splits: Splits, codes: list[np.ndarray], num_bits: int) -> dict[str, float]:
    """Return the MAP of codes, by kind of query."""
    return map_by_kind(splits, codes_ranker(splits, *codes, num_bits))


def run(splits: Splits, seed: int, way: str, weight: float, options: Any) -> dict[str, dict[str, float]]:
    """Train, and return the MAP of all bits and of the semantic ones."""
    keras.utils.set_random_seed(seed)
    network = dsh.Network()
    bits, steps, batch, shape = 64, 2400, 64, splits.image_shape
    if options.backbone:
        network = dsh.Network(backbone=options.backbone, trained_layers=0)
        bits, steps, batch, shape = 48, 600, 128, (224, 224, 3)
    sizes = {"num_bits": bits, "num_classes": splits.num_classes, "image_shape": shape, "network": network}
    sizes["method"] = "dsh-gan"
    model = WithVirtualClasses(way, weight, seed=seed, **sizes)
    model.compile()
    model.fit(dsh.data.triplets(splits, batch, seed), epochs=1, steps_per_epoch=steps, verbose=0)
    codes = [model.encode(part.images) for part in (splits.query, splits.database)]
    count = model.encoder.semantic_bits
    semantic = [np.packbits(unpack(code, bits)[:, :count], axis=1) for code in codes]
    return {"all bits": found_by(splits, codes, bits), "semantic bits": found_by(splits, semantic, count)}


def splits_of(options: Any) -> Any:
    """Return what makes the split of a seed."""
    if options.data == "digits":
        return lambda seed: dsh.data.load("digits", 20, seed, "digits-unseen")
    network = dsh.Network(backbone=options.backbone, trained_layers=0)
    features, labels, count = features_of(options.data, network, options.images)
    source = Source(features, labels, tuple(map(str, range(count))))
    return lambda seed: with_teacher(split(source, Protocol("unseen", 100, 10, unseen_classes=2), seed, "photos"))


def sheet(rows: dict[str, Any], data: str, seeds: list[int]) -> Table:
    """Lay out the means, and the gain over neither with its 95% interval."""
    table = Table(title=f"{data}, seeds {seeds[0]} to {seeds[-1]}")
    for column in ("", "bits", *KINDS.values()):
        table.add_column(column)
    names = dict.fromkeys(name.rsplit("|", 1)[0] for name in rows if name.startswith(f"{data}|"))
    for name in names:
        for bits in ("all bits", "semantic bits"):
            cells = []
            for kind in KINDS:
                own, base = (
                    {seed: rows[f"{of}|{seed}"][bits][kind] for seed in seeds} for of in (name, next(iter(names)))
                )
                gain = "" if name == next(iter(names)) else f", {paired_difference(own, base)}"
                cells.append(f"{np.mean(list(own.values())):.3f}{gain}")
            table.add_row(name.removeprefix(f"{data}|"), bits, *cells)
    return table


def main() -> None:
    """Run what is missing and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="digits, or a table of pictures")
    parser.add_argument("--images", type=int)
    parser.add_argument("--backbone")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    data = "digits" if options.data == "digits" else "photographs"
    rows = json.loads(options.output.read_text()) if options.output.exists() else {}
    make = splits_of(options)
    for seed in options.seeds:
        splits = make(seed)
        for way, weight in (("neither", 0.0), *((way, weight) for way in WAYS[1:] for weight in WEIGHTS)):
            name = f"{data}|{way}, weight {weight}|{seed}" if weight else f"{data}|{way}|{seed}"
            if name not in rows:
                rows[name] = run(splits, seed, way, weight, options)
                write_json(options.output, rows)
                print(name, rows[name], flush=True)
    Console(width=160).print(sheet(rows, data, options.seeds))


if __name__ == "__main__":
    main()
