"""Photographs with several labels each, on a frozen trunk: the default beside its rivals.

    python benchmarks/several_labels.py --data corel5k/labels-top.csv --backbone lite0.keras --output corel5k.json

The table's split says who is a query. 20 images a concept have labels, drawn by the seed; a fifth of them is the
validation part. 48 bits; MAP@1000 and NDCG@100. A row that is in the output already is not run again. Recipes are
chosen on seeds 50 to 59, and reported on seeds 0 to 9.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from dshgan_tf.training.baselines import features_by_cosine, fit_itq, spread_over_all
from photographs import BITS, DEFAULT, learned, paired_gain
from rich.console import Console
from rich.table import Table
from sklearn.metrics import ndcg_score

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.data.feature_cache import trunk_features
from dshgan_tf.data.feature_splits import with_teacher
from dshgan_tf.data.sources import read
from dshgan_tf.data.splits import Classes, Splits, assemble
from dshgan_tf.data.trunk_size import side_for
from dshgan_tf.files import write_json

LABELS, VALIDATION = 20, 4  # a concept
AT_MAP, AT_NDCG = 1000, 100


def corel(table: str, network: dsh.Network) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Return features (N, F), label rows (N, L), names, and who is a query (N,) bool."""
    source = read("table", table, side_for(network))
    pixels = source.images[np.arange(len(source.labels))]
    encoder = dsh.HashEncoder(BITS, len(source.class_names), pixels.shape[1:], network)
    with Path(table).open() as file:
        queries = np.array([row["split"] == "test" for row in csv.DictReader(file)])
    return trunk_features(encoder, pixels, "corel5k"), source.labels, tuple(source.class_names), queries


def split(features: np.ndarray, rows: np.ndarray, names: tuple[str, ...], queries: np.ndarray, seed: int) -> Splits:
    """Draw the labelled images; one that is drawn for a concept keeps all its labels."""
    rng = np.random.default_rng(seed)
    labeled, validation = np.zeros((2, len(rows)), bool)
    for concept in range(len(names)):
        free = np.flatnonzero(~queries & ~labeled & (rows[:, concept] > 0))
        labeled[rng.choice(free, LABELS, replace=False)] = True
    for concept in range(len(names)):
        free = np.flatnonzero(labeled & ~validation & (rows[:, concept] > 0))
        validation[rng.choice(free, VALIDATION, replace=False)] = True
    masks = {
        "query": queries,
        "labeled": labeled & ~validation,
        "validation": validation,
        "unlabeled": ~queries & ~labeled,
        "database": ~queries,
    }
    ids = {part: np.flatnonzero(mask) for part, mask in masks.items()}
    return assemble(features, rows, ids, Classes(names, (), np.arange(len(names))), "corel5k", "test split", seed)


def of_codes(splits: Splits, query: np.ndarray, database: np.ndarray, num_bits: int = BITS) -> list[float]:
    """Return MAP@1000 and NDCG@100 of packed codes."""
    arguments = (query, splits.query.labels, database, splits.database.labels, num_bits)
    measured = {k: dsh.retrieval.evaluate(*arguments, top_k=k) for k in (AT_MAP, AT_NDCG)}
    return [measured[AT_MAP]["map_at_k"], measured[AT_NDCG]["ndcg_at_k"]]


def of_floats(splits: Splits, query: np.ndarray, database: np.ndarray) -> list[float]:
    """Return MAP@1000 and NDCG@100 of floats, ranked by their inner products."""
    shared = splits.query.labels.astype(float) @ splits.database.labels.T
    scores = query @ database.T
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :AT_MAP]
    hits = np.take_along_axis(shared, nearest, axis=1) > 0
    precisions = hits.cumsum(axis=1) / np.arange(1, AT_MAP + 1)
    averages = (precisions * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)
    return [float(averages.mean()), float(ndcg_score(2**shared - 1, scores, k=AT_NDCG))]


def compare(splits: Splits, seed: int, network: dsh.Network, rows: dict[str, Any], output: Path) -> list[str]:
    """Run what is missing of a seed; return the names of what is compared."""
    taught = with_teacher(splits)

    def trained(of: Splits, method: str, **objective: Any) -> list[float]:
        model = learned(of, seed, network, method, **objective)
        return of_codes(of, *(model.encode(part.images) for part in (of.query, of.database)))

    def itq() -> list[float]:
        features = np.concatenate([splits.labeled.images, splits.unlabeled.images])
        bits = fit_itq(features, BITS, 0)
        return of_codes(splits, *(pack(bits(part.images).astype(np.uint8)) for part in (splits.query, splits.database)))

    compared = {
        DEFAULT: lambda: trained(taught, "semi-supervised"),
        "with generated features": lambda: trained(taught, "dsh-gan"),
        "labels alone": lambda: trained(splits, "supervised"),
        "ITQ of the features": itq,
        "cosine of the features, not coded": lambda: of_floats(splits, *features_by_cosine(splits)),
        "probabilities of the teacher, not coded": lambda: of_floats(splits, *spread_over_all(splits)),
    }
    for name, run in compared.items():
        key = f"{name}|{seed}"
        if key not in rows:
            rows[key] = run()
            write_json(output, rows)
            print(key, rows[key], flush=True)
    return [*compared]


def table(rows: dict[str, Any], names: list[str], seeds: list[int]) -> Table:
    """Lay out means, and the default's gain over each rival with its 95% interval, paired over the seeds."""
    sheet = Table(title=f"Seeds {seeds[0]} to {seeds[-1]}; gain of the default [95%]")
    for column in ("", f"MAP@{AT_MAP}", f"NDCG@{AT_NDCG}"):
        sheet.add_column(column)
    for name in names:
        own, best = (np.array([rows[f"{of}|{seed}"] for seed in seeds]) for of in (name, DEFAULT))
        gains = ["", ""] if name == DEFAULT else [paired_gain(column) for column in (best - own).T]
        cells = [f"{mean:.3f}{gain}" for mean, gain in zip(own.mean(axis=0), gains, strict=True)]
        sheet.add_row(name, *cells)
    return sheet


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="Corel5k's table, with the columns path, labels and split")
    parser.add_argument("--backbone", required=True, help="a .keras file")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the rows")
    given = parser.parse_args()
    network = dsh.Network(backbone=given.backbone, trained_layers=0)
    data = corel(given.data, network)
    rows = json.loads(given.output.read_text()) if given.output.exists() else {}
    for seed in given.seeds:
        names = compare(split(*data, seed), seed, network, rows, given.output)
    Console(width=200).print(table(rows, names, given.seeds))


if __name__ == "__main__":
    main()
