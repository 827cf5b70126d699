"""`dshgan-evaluate DIR...`: evaluate finished runs again and lay several side by side."""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported: off by default on some CPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import dshgan_tf as dsh
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits, load_splits
from dshgan_tf.files import atomic_path, write_json
from training.tables import comparison_table, runs_table


def evaluate_model(model: dsh.DSHGAN, splits: Splits, top_k: int | None, workdir: Path) -> dict[str, Any]:
    """Evaluate a model, queries against the database; write `codes.npz` and the pictures.

    Args:
        model: the trained model.
        splits: its data.
        top_k: cut of `map_at_k` and `precision_at_k`; None for the whole ranking.
        workdir: folder of the run.

    Returns:
        The metrics of `retrieval.evaluate`, and `accuracy` of the classification stream on the queries (for many
        labels an image: the share of label decisions that are right).
    """
    from training.plots import draw_run  # matplotlib only when pictures are drawn

    streams = model.predict_streams(splits.query.images)
    codes = {
        "query_codes": dsh.codes.pack(dsh.codes.binarise(streams["relaxed_codes"])),
        "query_labels": splits.query.labels,
        "database_codes": model.encode(splits.database.images),
        "database_labels": splits.database.labels,
    }
    with atomic_path(workdir / "codes.npz") as path:
        np.savez(path, **codes)
    metrics = dsh.retrieval.evaluate(**codes, num_bits=model.num_bits, top_k=top_k)
    truth = splits.multi_hot(splits.query.labels)
    if splits.multi_label:
        right = (streams["class_logits"] > 0) == (truth > 0)
    else:
        right = streams["class_logits"].argmax(axis=1) == truth.argmax(axis=1)
    draw_run(splits, workdir, codes["query_codes"], codes["database_codes"], model.num_bits)
    return metrics | {"accuracy": float(np.mean(right))}


def evaluate_workdir(workdir: Path) -> dict[str, Any]:
    """Evaluate a finished run again and write its `results.json` anew.

    Args:
        workdir: folder of the run.

    Returns:
        The results.

    Raises:
        ValueError: not a finished run, or its data changed.
    """
    if not (workdir / "results.json").exists() or not (workdir / "model.keras").exists():
        raise ValueError(f"{workdir} holds no finished run (no results.json); run dshgan-train into it first")
    config = RunConfig.load(workdir / "config.json")
    splits = load_splits(config)
    if json.loads((workdir / "splits.json").read_text())["sha256"] != splits.describe()["sha256"]:
        raise ValueError(f"the data of {workdir} changed since it was trained: its split has another checksum")
    metrics = evaluate_model(dsh.load_model(workdir / "model.keras"), splits, config.top_k, workdir)
    results = json.loads((workdir / "results.json").read_text())
    results |= {"k": metrics.pop("k"), "policy": metrics.pop("policy"), "metrics": metrics}
    write_json(workdir / "results.json", results)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("dshgan-evaluate", description=__doc__)
    parser.add_argument("workdirs", nargs="+", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("--plots", type=Path, help="folder for the pictures (default: plots beside the first run)")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    from training.plots import draw_comparison

    try:
        runs = {str(workdir): evaluate_workdir(workdir) for workdir in options.workdirs}
    except ValueError as error:
        Console(stderr=True).print(f"dshgan-evaluate: {error}", style="red", markup=False, highlight=False)
        return 2
    console.print(runs_table(runs))
    comparison = comparison_table(runs)
    if comparison is not None:
        console.print(comparison)
    folder = options.plots or options.workdirs[0].parent / "plots"
    for picture in draw_comparison(options.workdirs, folder):
        console.print(f"picture: {picture}", highlight=False)
    return 0
