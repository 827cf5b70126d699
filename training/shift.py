"""Shift: how MAP falls when the queries are corrupted and the database is not."""

from __future__ import annotations

import numpy as np
from rich.progress import track

import dshgan_tf as dsh
from dshgan_tf.data import CORRUPTIONS, SEVERITIES, Splits, corrupt
from dshgan_tf.files import write_json
from dshgan_tf.run import Run

SEED = 0  # the same for every run, so that all meet the same noise on the same query


def evaluate_shift(model: dsh.DSHGAN, splits: Splits, run: Run) -> dict[str, list[float]]:
    """Evaluate every corruption of the queries at every severity; write `shift.json`.

    Args:
        model: the trained model.
        splits: its data.
        run: evaluated; its `codes.npz` is read.

    Returns:
        Kind -> MAP of the whole ranking at severity 0 (clean) to 5.
    """
    with np.load(run.path("codes")) as stored:  # the evaluation has hashed the database already
        database_codes = stored["database_codes"]

    def mean_average_precision(images: object) -> float:
        result = dsh.retrieval.evaluate(
            model.encode(images), splits.query.labels, database_codes, splits.database.labels, model.num_bits
        )
        return result["map"]

    clean = mean_average_precision(splits.query.images)
    maps = {kind: [clean] for kind in CORRUPTIONS}
    cases = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    for kind, severity in track(cases, description="corrupted queries", transient=True):
        maps[kind].append(mean_average_precision(corrupt(splits.query.images[:], kind, severity, SEED)))
    write_json(run.path("shift"), {"seed": SEED, "severities": [0, *SEVERITIES], "map": maps})
    return maps
