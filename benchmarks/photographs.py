"""Photographs on a frozen trunk: the default beside its rivals, on the same features, splits and steps.

    python benchmarks/efficientnet_lite.py --output lite0.keras
    python benchmarks/photographs.py --data scenes/labels.csv --backbone lite0.keras --output scenes.json
    TFDS_DATA_DIR=<TFDS folder> python benchmarks/photographs.py --data cifar10 --images 10000 ...

100 queries a class, the rest is the database; 48 bits; MAP of the whole ranking. From 5 labels a class on a fifth
of them is the validation part, for all rivals alike. A row that is in the output already is
not run again, so a second call goes on. Recipes are chosen on seeds 50 to 59, and reported on seeds 0 to 9.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from dshgan_tf.training.baselines import class_bits, features_by_cosine, fit_itq, float_metrics, spread_over_all
from rich.console import Console
from rich.table import Table
from scipy import stats

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.data.feature_cache import trunk_features
from dshgan_tf.data.feature_splits import with_teacher
from dshgan_tf.data.protocols import Protocol, split
from dshgan_tf.data.source import Source
from dshgan_tf.data.sources import read
from dshgan_tf.data.splits import Part, Splits
from dshgan_tf.data.trunk_size import side_for
from dshgan_tf.files import write_json

BITS, STEPS, BATCH, QUERIES = 48, 600, 128, 100
SUREST, POINTS = 20, 100  # of a class: images between whose features points are made, and how many
DEFAULT = "default"


def features_of(data: str, network: dsh.Network, images: int | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the features (N, F) of a data set, its class ids (N,) and the number of classes."""
    named = data == "cifar10"
    source = read(data) if named else read("table", data, side_for(network))
    chosen = np.arange(len(source.labels))
    if images is not None:  # equally many of each class
        rng, count = np.random.default_rng(0), images // len(source.class_names)
        classes = [np.flatnonzero(source.labels == number) for number in range(len(source.class_names))]
        chosen = np.sort(np.concatenate([rng.choice(members, count, replace=False) for members in classes]))
    pixels = source.images[chosen]
    encoder = dsh.HashEncoder(BITS, len(source.class_names), pixels.shape[1:], network)
    return trunk_features(encoder, pixels, data), source.labels[chosen], len(source.class_names)


def learned(splits: Splits, seed: int, network: dsh.Network, method: str, **objective: Any) -> dsh.DSHGAN:
    """Train on features as `dshgan train` does."""
    keras.utils.set_random_seed(seed)
    side = side_for(network)
    shape = (side, side, 3)
    model = dsh.DSHGAN(BITS, splits.num_classes, shape, method, splits.multi_label, network)
    model.compile(objective=dsh.Objective(**objective))
    model.fit(dsh.data.triplets(splits, BATCH, seed), epochs=1, steps_per_epoch=STEPS, verbose=0)
    return model


def trained(splits: Splits, seed: int, network: dsh.Network, method: str, **objective: Any) -> float:
    """Train on features, and return MAP."""
    model = learned(splits, seed, network, method, **objective)
    return ranked(splits, *(model.encode(part.images) for part in (splits.query, splits.database)), BITS)


def ranked(splits: Splits, query: np.ndarray, database: np.ndarray, num_bits: int) -> float:
    """Return the MAP of codes."""
    return dsh.retrieval.evaluate(query, splits.query.labels, database, splits.database.labels, num_bits)["map"]


def itq(splits: Splits) -> float:
    """Return the MAP of ITQ of the features."""
    features = np.concatenate([splits.labeled.images, splits.unlabeled.images])
    bits = fit_itq(features, BITS, 0)
    return ranked(splits, *(pack(bits(part.images).astype(np.uint8)) for part in (splits.query, splits.database)), BITS)


def class_as_code(splits: Splits) -> float:
    """Return the MAP of the class that label spreading names, as a code; it is spread to the queries as well."""
    codes = [pack(class_bits(part, multi_label=False)) for part in spread_over_all(splits)]
    return ranked(splits, *codes, splits.num_classes)


def expanded(splits: Splits, seed: int) -> Splits:
    """Add points between features of a class to the labelled ones: what a generator could do without learning.

    A class's features are those of its labelled images and of those that the teacher is surest of.
    """
    rng, classes = np.random.default_rng(seed), range(splits.num_classes)
    points = []
    for number in classes:
        own = splits.labeled.images[splits.labeled.labels == number]
        features = np.concatenate([own, splits.unlabeled.images[np.argsort(-splits.taught[:, number])[:SUREST]]])
        pairs = rng.integers(0, len(features), (2, POINTS))
        share = rng.uniform(size=(POINTS, 1))
        points.append(share * features[pairs[0]] + (1 - share) * features[pairs[1]])
    images = np.concatenate([splits.labeled.images, *points]).astype(np.float32)
    labels = np.concatenate([splits.labeled.labels, np.repeat(classes, POINTS)])
    beyond = 1 + max(part.ids.max() for part in (splits.query, splits.labeled, splits.unlabeled, splits.database))
    ids = np.concatenate([splits.labeled.ids, beyond + np.arange(len(images) - len(splits.labeled))])
    return dataclasses.replace(splits, labeled=Part(images, labels, ids))


def rivals(splits: Splits, seed: int, network: dsh.Network) -> dict[str, Callable[[], float]]:
    """Return what is compared, by name."""
    taught = with_teacher(splits)
    of_pixels = {"similarity_weight": 0.0, "real_triplet_weight": 0.1, "balance_weight": 1.0, "ramp": 0.3}
    return {
        DEFAULT: lambda: trained(taught, seed, network, "dsh-gan"),
        "no generated features": lambda: trained(taught, seed, network, "semi-supervised"),
        "points between features": lambda: trained(expanded(taught, seed), seed, network, "semi-supervised"),
        "labels alone": lambda: trained(splits, seed, network, "supervised"),
        "confident pseudo-labels": lambda: trained(splits, seed, network, "semi-supervised", **of_pixels),
        "ITQ of the features": lambda: itq(splits),
        "cosine of the features, not coded": lambda: float_metrics(splits, *features_by_cosine(splits))["map"],
        "class that label spreading names": lambda: class_as_code(splits),
        "probabilities of label spreading, not coded": lambda: float_metrics(splits, *spread_over_all(splits))["map"],
    }


def paired_gain(gains: np.ndarray) -> str:
    """Write the mean of gains, one a seed, with its 95% interval; nothing for one seed."""
    if len(gains) == 1:
        return ""
    mean, reach = gains.mean(), stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
    return f"  {mean:+.3f} [{mean - reach:+.3f}, {mean + reach:+.3f}]"


def table(rows: dict[str, float], labels: list[int], names: list[str], seeds: list[int]) -> Table:
    """Lay out means, and the default's gain over each rival with its 95% interval, paired over the seeds."""
    sheet = Table(title=f"MAP, seeds {seeds[0]} to {seeds[-1]}; gain of the default [95%]")
    for column in ("", *(f"{count} a class" for count in labels)):
        sheet.add_column(column)
    for name in names:
        cells = []
        for count in labels:
            own, best = (np.array([rows[f"{of}|{count}|{seed}"] for seed in seeds]) for of in (name, DEFAULT))
            cells.append(f"{own.mean():.3f}" + ("" if name == DEFAULT else paired_gain(best - own)))
        sheet.add_row(name, *cells)
    return sheet


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a table of image files, or cifar10")
    parser.add_argument("--backbone", required=True, help="a .keras file")
    parser.add_argument("--images", type=int, help="how many, equally many of each class; all by default")
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 2, 5, 10], help="labels a class")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the rows")
    given = parser.parse_args()
    network = dsh.Network(backbone=given.backbone, trained_layers=0)
    features, labels, num_classes = features_of(given.data, network, given.images)
    rows = json.loads(given.output.read_text()) if given.output.exists() else {}
    names: list[str] = []
    for count in given.labels:
        for seed in given.seeds:
            protocol = Protocol("photographs", QUERIES, count)
            source = Source(features, labels, tuple(map(str, range(num_classes))))
            splits = split(source, protocol, seed, "photos")
            compared = rivals(splits, seed, network)
            names = [*compared]
            for name, run in compared.items():
                key = f"{name}|{count}|{seed}"
                if key not in rows:
                    start = time.perf_counter()
                    rows[key] = run()
                    write_json(given.output, rows)
                    print(f"{key}: {rows[key]:.4f}, {time.perf_counter() - start:.1f} s", flush=True)
    Console(width=200).print(table(rows, given.labels, names, given.seeds))


if __name__ == "__main__":
    main()
