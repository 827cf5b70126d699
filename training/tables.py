"""Runs as tables on the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table


def method_of(results: dict[str, Any]) -> str:
    """Name the method of a run as its rows and curves do."""
    if not results["gan"]:
        return "without GAN"
    return "with GAN" if results["synthetic"] else "no synthetic images"


def runs_table(runs: dict[str, dict[str, Any]]) -> Table:
    """Lay runs out in a table, one row each.

    Args:
        runs: name of the run -> its results.
    """
    table = Table(title="Retrieval by Hamming distance, queries against database")
    for column in ("run", "method", "seed", "bits", "labels/class", "MAP", "P@r<=2", "accuracy", "steps", "seconds"):
        table.add_column(column, justify="left" if column in ("run", "method") else "right")
    for name, run in runs.items():
        metrics = run["metrics"]
        table.add_row(
            name,
            method_of(run),
            str(run["seed"]),
            str(run["num_bits"]),
            str(run["labels_per_class"] or "protocol"),
            f"{metrics['map']:.3f}",
            f"{metrics['precision_radius_2']:.3f}",
            f"{metrics['accuracy']:.3f}",
            str(run["steps"]),
            f"{run['train_seconds']:.0f}",
        )
    return table


def comparison_table(runs: dict[str, dict[str, Any]]) -> Table | None:
    """Set runs with the GAN beside those without that differ in nothing else, mean over the seeds both have.

    Args:
        runs: name of the run -> its results.

    Returns:
        The table, or None where no such pair is among the runs.
    """
    groups: dict[tuple, dict[str, dict[int, dict[str, Any]]]] = {}
    for run in runs.values():
        key = (run["preset"], run["dataset"], run["protocol"], run["num_bits"], run["labels_per_class"], run["steps"])
        groups.setdefault(key, {}).setdefault(method_of(run), {})[run["seed"]] = run
    table = Table(title="What the GAN brings, same labels, batches and steps")
    for column in ("data", "bits", "labels/class", "seeds", "MAP without", "MAP with", "gain", "s without", "s with"):
        table.add_column(column, justify="left" if column == "data" else "right")
    for (_, dataset, protocol, bits, labels, _), methods in groups.items():
        pairs = [methods.get(name, {}) for name in ("without GAN", "with GAN")]
        seeds = sorted(set(pairs[0]) & set(pairs[1]))
        if not seeds:
            continue
        maps = [np.mean([runs_of[seed]["metrics"]["map"] for seed in seeds]) for runs_of in pairs]
        seconds = [np.mean([runs_of[seed]["train_seconds"] for seed in seeds]) for runs_of in pairs]
        table.add_row(
            dataset if dataset == protocol else f"{dataset} ({protocol})",
            str(bits),
            str(labels or "protocol"),
            ", ".join(map(str, seeds)),
            f"{maps[0]:.3f}",
            f"[bold green]{maps[1]:.3f}" if maps[1] > maps[0] else f"{maps[1]:.3f}",
            f"{maps[1] - maps[0]:+.3f}",
            *(f"{value:.0f}" for value in seconds),
        )
    return table if table.row_count else None
