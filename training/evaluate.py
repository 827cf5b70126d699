"""The evaluation of finished runs, and the comparison of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dshgan_tf.training.comparison import read_entries
from dshgan_tf.training.tables import results_sheet, shift_sheet
from dshgan_tf.training.unseen_classes import codes_ranker, map_by_kind
from rich.console import Console

import dshgan_tf as dsh
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import feature_splits
from dshgan_tf.files import atomic_path, write_json
from dshgan_tf.retrieval.code_statistics import code_statistics
from dshgan_tf.run import Run
from dshgan_tf.search.calibration import calibrate


def evaluate_model(model: dsh.DSHGAN, splits: Splits, top_k: int | None, run: Run) -> dict[str, Any]:
    """Evaluate a model, queries against the database; write `codes.npz` and the pictures.

    Args:
        model: the trained model.
        splits: its data.
        top_k: cut of `map_at_k` and `precision_at_k`; None for the whole ranking.
        run: its folder.

    Returns:
        The metrics of `retrieval.evaluate`; those of `map_by_kind` where a class has no labels; `accuracy` of the
        classification stream on the queries whose classes it knows (for many labels an image: the share of label
        decisions that are right); and `code_statistics`, a dict, of the database.
    """
    from dshgan_tf.training.near_copies import write_near_copies
    from dshgan_tf.training.plots import draw_calibration, draw_run  # matplotlib only when pictures are drawn

    seen = feature_splits(splits, model.average_encoder, teach=False) if model.encoder.head is not None else splits
    if model.encoder.network.frozen:
        write_near_copies(splits, seen, run)
    streams = model.predict_streams(seen.query.images)
    relaxed = model.predict_streams(seen.database.images)["relaxed_codes"]
    query_relaxed = streams["relaxed_codes"]
    codes = {
        "query_codes": dsh.codes.pack(dsh.codes.binarise(query_relaxed)),
        "query_labels": splits.query.labels,
        "database_codes": dsh.codes.pack(dsh.codes.binarise(relaxed)),
        "database_labels": splits.database.labels,
    }
    with atomic_path(run.path("codes")) as path:
        np.savez(path, **codes, num_bits=model.num_bits, query_relaxed=query_relaxed)
    metrics = dsh.retrieval.evaluate(**codes, num_bits=model.num_bits, top_k=top_k, query_relaxed=query_relaxed)
    metrics |= map_by_kind(splits, codes_ranker(splits, codes["query_codes"], codes["database_codes"], model.num_bits))
    metrics["accuracy"] = _accuracy(streams["class_logits"], splits)
    metrics["code_statistics"] = code_statistics(codes["database_codes"], model.num_bits, relaxed)
    draw_run(splits, run, codes["query_codes"], codes["database_codes"], query_relaxed)
    if len(splits.validation) and not splits.unseen_names:  # of unseen classes it would promise too much
        held_out = model.encode(seen.validation.images)
        rows = splits.multi_hot(splits.validation.labels)
        calibration = calibrate(held_out, rows, model.num_bits, splits.similar_share)
        if calibration is not None:
            draw_calibration(calibration, splits, run, codes["query_codes"], codes["database_codes"])
    return metrics


def _accuracy(class_logits: np.ndarray, splits: Splits) -> float:
    truth = splits.searched_rows(splits.query.labels)[:, : splits.num_classes]
    known = truth.any(axis=1)
    truth, class_logits = truth[known], class_logits[known]
    if splits.multi_label:
        return float(np.mean((class_logits > 0) == (truth > 0)))
    return float(np.mean(class_logits.argmax(axis=1) == truth.argmax(axis=1)))


def evaluate_run(run: Run, baselines: bool = False, shift: bool = False) -> dict[str, Any]:
    """Evaluate a finished run again; rewrite the metrics of its `results.json`.

    Args:
        run: its folder.
        baselines: also evaluate the baselines on its split, into `baselines.json`; they always are where a class has no
            labels, since they are what the codes must beat there.
        shift: also evaluate corrupted queries, into `shift.json`.

    Returns:
        The results.

    Raises:
        ValueError: not a finished run, or its data changed.
    """
    run.require_finished()
    splits, model = run.splits(), run.load_model()
    metrics = evaluate_model(model, splits, run.config().top_k, run)
    results = run.read("results")
    results |= {name: metrics.pop(name) for name in ("k", "policy", "code_statistics")} | {"metrics": metrics}
    write_json(run.path("results"), results)
    if baselines or splits.unseen_names:
        from dshgan_tf.training.baselines import evaluate_baselines

        evaluate_baselines(model, splits, run)
    if shift:
        from dshgan_tf.training.shift import evaluate_shift

        evaluate_shift(model, splits, run)
    return results


def compare(runs: list[Run], output: Path, console: Console) -> None:
    """Show evaluated runs in one table, and write it as Markdown with the pictures of all runs.

    Args:
        runs: evaluated.
        output: folder for `results.md` and the pictures.
        console: where the tables go.

    Raises:
        ValueError: two runs of one method with one seed.
    """
    from dshgan_tf.training.comparison_plots import draw_comparison

    entries = [entry for run in runs for entry in read_entries(run)]
    sheets = [sheet for sheet in (results_sheet(entries), shift_sheet(entries)) if sheet is not None]
    for sheet in sheets:
        console.print(sheet.to_rich())
    with atomic_path(output / "results.md") as path:
        path.write_text("\n".join(sheet.to_markdown() for sheet in sheets))
    for picture in [output / "results.md", *draw_comparison(entries, output)]:
        console.print(f"written: {picture}", highlight=False, markup=False, soft_wrap=True)
