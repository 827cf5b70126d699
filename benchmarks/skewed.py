"""Classes are 100:1 and labels were drawn class by class: estimated frequencies of classes beside even ones.

    python benchmarks/skewed.py --data digits --output digits.json
    python benchmarks/skewed.py --data scenes/labels.csv --backbone lite0.keras --output scenes.json

Each class has 20 queries and 10 labelled images. The largest class has as many unlabelled images as there are, the
smallest a hundredth of it; the seed draws which is which. A run that is in the output already is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
from photographs import BITS, features_of, learned, paired_gain, ranked
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import dshgan_tf as dsh
from dshgan_tf.data.feature_splits import with_teacher
from dshgan_tf.data.protocols import Protocol, split
from dshgan_tf.data.source import Source
from dshgan_tf.data.splits import Splits
from dshgan_tf.files import write_json
from dshgan_tf.teacher.class_frequency import class_frequency
from dshgan_tf.teacher.one_label import teach_one_label

QUERIES, LABELS, RATIO = 20, 10, 100
STEPS, BATCH = 1000, 64  # of digits
EVEN, FOUND = "even", "estimated"


def skewed(images: np.ndarray, labels: np.ndarray, seed: int) -> Splits:
    """Draw a skewed part of a data set, and split it."""
    rng, classes = np.random.default_rng(seed), int(labels.max()) + 1
    largest = np.bincount(labels).min() - QUERIES - LABELS
    counts = np.maximum(1, np.round(largest * RATIO ** (-np.arange(classes) / (classes - 1)))).astype(int)
    drawn = [
        rng.permutation(np.flatnonzero(labels == number))[: QUERIES + LABELS + count]
        for number, count in zip(rng.permutation(classes), counts, strict=True)
    ]
    chosen = np.concatenate(drawn)
    source = Source(images[chosen], labels[chosen], tuple(map(str, range(classes))))
    return split(source, Protocol("skewed", QUERIES, LABELS), seed, "skewed")


def evenly_taught(splits: Splits) -> Splits:
    """Return the splits with the labels of a teacher that holds all classes to be as frequent as labels are."""
    known = splits.multi_hot(splits.labeled.labels)
    rows = np.concatenate([known, np.zeros((len(splits.unlabeled), splits.num_classes), np.float32)])
    taught = teach_one_label(np.concatenate([splits.labeled.images, splits.unlabeled.images]), rows)
    return dataclasses.replace(splits, taught=taught[len(known) :])


def of_digits(splits: Splits, seed: int, way: str) -> float:
    """Train on pixels, and return MAP."""
    keras.utils.set_random_seed(seed)
    model = dsh.DSHGAN(BITS, splits.num_classes, splits.image_shape, "dsh-gan")
    model.compile()
    known = splits.multi_hot(splits.labeled.labels)
    frequency = known.mean(axis=0)
    if way == FOUND:
        rows = np.concatenate([known, np.zeros((len(splits.unlabeled), splits.num_classes), np.float32)])
        frequency = class_frequency(np.concatenate([splits.labeled.images, splits.unlabeled.images]), rows)
    train = dsh.data.triplets(splits, BATCH, seed)
    train.label_frequency = frequency.astype(np.float32)
    model.fit(train, epochs=1, steps_per_epoch=STEPS, verbose=0)
    return ranked(splits, *(model.encode(part.images) for part in (splits.query, splits.database)), BITS)


def of_photographs(splits: Splits, seed: int, way: str, network: dsh.Network) -> float:
    """Train on features of a frozen trunk, and return MAP."""
    taught = evenly_taught(splits) if way == EVEN else with_teacher(splits)
    model = learned(taught, seed, network, "dsh-gan")
    return ranked(splits, *(model.encode(part.images) for part in (splits.query, splits.database)), BITS)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="digits, or a table of image files")
    parser.add_argument("--backbone", help="a .keras file, for photographs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the rows")
    given = parser.parse_args()
    network = dsh.Network(backbone=given.backbone, trained_layers=0) if given.backbone else None
    if network is None:
        digits = load_digits()
        images, labels = np.round(digits.images[..., None] * 255 / 16).astype(np.uint8), digits.target
    else:
        images, labels, _ = features_of(given.data, network, None)
    rows = json.loads(given.output.read_text()) if given.output.exists() else {}
    for seed in given.seeds:
        splits = skewed(images, labels, seed)
        for way in (EVEN, FOUND):
            key = f"{way}|{seed}"
            if key not in rows:
                rows[key] = of_photographs(splits, seed, way, network) if network else of_digits(splits, seed, way)
                write_json(given.output, rows)
                print(f"{key}: {rows[key]:.4f}", flush=True)
    even, found = (np.array([rows[f"{way}|{seed}"] for seed in given.seeds]) for way in (EVEN, FOUND))
    table = Table("even", "estimated", "gain [95%]", title=f"MAP, {given.data}, seeds {given.seeds}")
    table.add_row(f"{even.mean():.3f}", f"{found.mean():.3f}", paired_gain(found - even))
    Console().print(table)


if __name__ == "__main__":
    main()
