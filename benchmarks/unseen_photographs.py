"""Photographs of classes that nobody labelled, on a frozen trunk: the default's codes beside its rivals'.

    python benchmarks/efficientnet_lite.py --output lite0.keras
    python benchmarks/unseen_photographs.py --data scenes/labels.csv --images 6000 --backbone lite0.keras --output o

Two classes, drawn by the seed, have no labels. 100 queries a class, seen and unseen, search all other images; 48 bits.
A row that is in the output already is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from dshgan_tf.training.baselines import features_by_cosine, fit_itq, float_metrics
from dshgan_tf.training.comparison import paired_difference
from dshgan_tf.training.unseen_classes import KINDS, codes_ranker, map_by_kind
from photographs import BITS, QUERIES, features_of, learned
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.data.feature_splits import with_teacher
from dshgan_tf.data.protocols import Protocol, split
from dshgan_tf.data.source import Source
from dshgan_tf.data.splits import Splits
from dshgan_tf.files import write_json

Found = dict[str, float]
ITQ = "ITQ of the features"


def of_codes(splits: Splits, query: np.ndarray, database: np.ndarray) -> Found:
    """Return the MAP of codes, by kind of query."""
    return map_by_kind(splits, codes_ranker(splits, query, database, BITS))


def trained(splits: Splits, seed: int, network: dsh.Network, method: str) -> Found:
    """Train on features as `dshgan train` does."""
    model = learned(splits, seed, network, method)
    return of_codes(splits, *(model.encode(part.images) for part in (splits.query, splits.database)))


def itq(splits: Splits) -> Found:
    """Hash the features by ITQ, learnt from the same training images."""
    bits = fit_itq(splits.some_images(), BITS, 0)
    return of_codes(splits, *(pack(bits(part.images).astype(np.uint8)) for part in (splits.query, splits.database)))


def rivals(splits: Splits, seed: int, network: dsh.Network) -> dict[str, Callable[[], Found]]:
    """Return what is compared, by name."""
    taught = with_teacher(splits)
    all_semantic, mostly_instance = (dataclasses.replace(network, instance_bits=count) for count in (0, 30))
    return {
        "default": lambda: trained(taught, seed, network, "dsh-gan"),
        "all bits semantic": lambda: trained(taught, seed, all_semantic, "dsh-gan"),
        "30 bits that know no class": lambda: trained(taught, seed, mostly_instance, "dsh-gan"),
        "no generated features": lambda: trained(taught, seed, network, "semi-supervised"),
        ITQ: lambda: itq(splits),
        "cosine of the features, not coded": lambda: float_metrics(splits, *features_by_cosine(splits)),
    }


def table(rows: dict[str, dict[str, Found]], title: str) -> Table:
    """Lay the means out, and the gains over ITQ of the features."""
    shown = Table(title=title)
    shown.add_column("")
    for column in KINDS.values():
        shown.add_column(f"{column}, gain over ITQ")
    for name, seeds in rows.items():
        cells = []
        for kind in KINDS:
            values = {seed: found[kind] for seed, found in seeds.items()}
            gain = paired_difference(values, {seed: rows[ITQ][seed][kind] for seed in seeds})
            cells.append(f"{np.mean(list(values.values())):.3f}" + ("" if name == ITQ else f", {gain}"))
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    """Run what is missing and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="table of pictures, or cifar10")
    parser.add_argument("--images", type=int)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--unseen-classes", type=int, default=2)
    parser.add_argument("--unlabeled-unseen", action="store_true")
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    network = dsh.Network(backbone=given.backbone, trained_layers=0)
    features, labels, count = features_of(given.data, network, given.images)
    source = Source(features, labels, tuple(map(str, range(count))))
    rows = json.loads(given.output.read_text()) if given.output.exists() else {}
    console = Console()
    for budget in given.labels:
        train_too = "images of unseen classes train too" if given.unlabeled_unseen else "none of their images trains"
        title = f"{given.data}, {budget} labels a class, {given.unseen_classes} classes unseen, {train_too}"
        found = rows.setdefault(title, {})
        for seed in map(str, given.seeds):
            unseen = {"unseen_classes": given.unseen_classes, "unlabeled_unseen": given.unlabeled_unseen}
            splits = split(source, Protocol("unseen", QUERIES, budget, **unseen), int(seed), given.data)
            for name, run in rivals(splits, int(seed), network).items():
                if seed not in found.setdefault(name, {}):
                    found[name][seed] = run()
                    console.print(budget, seed, name, found[name][seed], highlight=False)
                    write_json(given.output, rows)
        console.print(table(found, title))


if __name__ == "__main__":
    main()
