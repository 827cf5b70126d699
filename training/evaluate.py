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
from dshgan_tf.code_statistics import code_statistics
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits, splits_of_run
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path, write_json
from training.comparison import group, read_entries
from training.tables import results_sheet, shift_sheet


def evaluate_model(model: dsh.DSHGAN, splits: Splits, top_k: int | None, workdir: Path) -> dict[str, Any]:
    """Evaluate a model, queries against the database; write `codes.npz` and the pictures.

    Args:
        model: the trained model.
        splits: its data.
        top_k: cut of `map_at_k` and `precision_at_k`; None for the whole ranking.
        workdir: folder of the run.

    Returns:
        The metrics of `retrieval.evaluate`; `accuracy` of the classification stream on the queries (for many labels an
        image: the share of label decisions that are right; None for classes that training never saw); and
        `code_statistics`, a dict, of the database.
    """
    from training.plots import draw_run  # matplotlib only when pictures are drawn

    streams = model.predict_streams(splits.query.images)
    relaxed = model.predict_streams(splits.database.images)["relaxed_codes"]
    codes = {
        "query_codes": dsh.codes.pack(dsh.codes.binarise(streams["relaxed_codes"])),
        "query_labels": splits.query.labels,
        "database_codes": dsh.codes.pack(dsh.codes.binarise(relaxed)),
        "database_labels": splits.database.labels,
    }
    with atomic_path(workdir / "codes.npz") as path:
        np.savez(path, **codes, num_bits=model.num_bits)
    metrics = dsh.retrieval.evaluate(**codes, num_bits=model.num_bits, top_k=top_k)
    metrics["accuracy"] = _accuracy(streams["class_logits"], splits)
    metrics["code_statistics"] = code_statistics(codes["database_codes"], model.num_bits, relaxed)
    draw_run(splits, workdir, codes["query_codes"], codes["database_codes"], model.num_bits)
    return metrics


def _accuracy(class_logits: np.ndarray, splits: Splits) -> float | None:
    if splits.unseen_names:
        return None
    truth = splits.multi_hot(splits.query.labels)
    if splits.multi_label:
        return float(np.mean((class_logits > 0) == (truth > 0)))
    return float(np.mean(class_logits.argmax(axis=1) == truth.argmax(axis=1)))


def evaluate_workdir(workdir: Path, baselines: bool = False, shift: bool = False) -> dict[str, Any]:
    """Evaluate a finished run again, on the split that it was trained on, and write its `results.json` anew.

    Args:
        workdir: folder of the run.
        baselines: also evaluate the baselines on its split, into `baselines.json`.
        shift: also evaluate corrupted queries, into `shift.json`.

    Returns:
        The results.

    Raises:
        ValueError: not a finished run, or its data changed.
    """
    require_finished(workdir)
    config = RunConfig.load(workdir / "config.json")
    splits = splits_of_run(workdir)
    model = dsh.load_model(workdir / "model.keras")
    metrics = evaluate_model(model, splits, config.top_k, workdir)
    results = json.loads((workdir / "results.json").read_text())
    results |= {name: metrics.pop(name) for name in ("k", "policy", "code_statistics")} | {"metrics": metrics}
    write_json(workdir / "results.json", results)
    if baselines:
        from training.baselines import evaluate_baselines

        evaluate_baselines(model, splits, workdir)
    if shift:
        from training.shift import evaluate_shift

        evaluate_shift(model, splits, workdir)
    return results


def require_finished(workdir: Path) -> None:
    """Raise a ValueError unless a folder holds a finished run."""
    if not (workdir / "results.json").exists() or not (workdir / "model.keras").exists():
        raise InputError(f"{workdir} holds no finished run (no results.json); run dshgan-train into it first")


def compare(workdirs: list[Path], output: Path, console: Console) -> None:
    """Show evaluated runs in one table, and write it as Markdown with the pictures of all runs.

    Args:
        workdirs: folders of evaluated runs.
        output: folder for `results.md` and the pictures.
        console: where the tables go.

    Raises:
        ValueError: two runs of one method with one seed.
    """
    from training.comparison_plots import draw_comparison

    entries = [entry for workdir in workdirs for entry in read_entries(workdir)]
    sheets = [sheet for sheet in (results_sheet(entries), shift_sheet(entries)) if sheet is not None]
    for sheet in sheets:
        console.print(sheet.to_rich())
    with atomic_path(output / "results.md") as path:
        path.write_text("\n".join(sheet.to_markdown() for sheet in sheets))
    for picture in [output / "results.md", *draw_comparison(entries, output)]:
        console.print(f"written: {picture}", highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("dshgan-evaluate", description=__doc__)
    parser.add_argument("workdirs", nargs="+", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument(
        "--baselines", action="store_true", help="LSH, ITQ, spectral hashing, class as code: same split"
    )
    parser.add_argument("--shift", action="store_true", help="corrupt the queries in 8 ways at severity 1 to 5")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="for results.md and the pictures (default: plots beside the first run)",
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        for workdir in options.workdirs:  # all are looked at before the first is evaluated
            require_finished(workdir)
        group([read_entries(workdir)[0] for workdir in options.workdirs])
        for workdir in options.workdirs:
            evaluate_workdir(workdir, options.baselines, options.shift)
        compare(options.workdirs, options.output or options.workdirs[0].resolve().parent / "plots", console)
    except (OSError, ValueError) as error:
        Console(stderr=True).print(
            f"dshgan-evaluate: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 2
    return 0
