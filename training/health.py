"""What a finished run suffered from, from its metrics."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from dshgan_tf.callbacks.watch_the_gan import diagnose


def health(metrics_file: Path) -> dict[str, Any]:
    """Sum a run up for `results.json`.

    Args:
        metrics_file: `metrics.csv`.

    Returns:
        `non_finite_updates`, a count, and for each finding the epochs in which it was seen.
    """
    with metrics_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen: dict[str, list[int]] = {}
    for row in rows:
        for name in diagnose(row):
            seen.setdefault(name, []).append(int(row["epoch"]))
    return {"non_finite_updates": int(sum(float(row["non_finite_updates"]) for row in rows)), "epochs_with": seen}
