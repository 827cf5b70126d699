"""Queries that nearly show a searched image, as shots of one burst do. They make figures too good."""

from __future__ import annotations

from typing import Any

import numpy as np
from dshgan_tf.training.plots import draw_pairs

from dshgan_tf.data import Splits
from dshgan_tf.files import write_json
from dshgan_tf.run import Run

ALIKE = 0.96  # cosine of a pretrained backbone's features, from which two photographs show the same
MOST = 10  # pairs of a query
AT_A_TIME = 8192  # searched images that are compared at once


def find_near_copies(query: np.ndarray, searched: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs of images whose features point into nearly the same direction, at most ten for each query.

    Args:
        query: (Q, F) float, of a pretrained backbone.
        searched: (N, F) float.

    Returns:
        Rows of query and searched image (P, 2) and their cosines (P,) float32, the most alike first.
    """
    query = _directions(query)
    best = np.full((len(query), MOST), -1, np.float32)
    rows = np.full((len(query), MOST), -1)
    for start in range(0, len(searched), AT_A_TIME):
        cosine = query @ _directions(searched[start : start + AT_A_TIME]).T
        known = np.concatenate([best, cosine], axis=1)
        places = np.concatenate([rows, np.broadcast_to(start + np.arange(cosine.shape[1]), cosine.shape)], axis=1)
        top = np.argsort(-known, axis=1, kind="stable")[:, :MOST]
        best, rows = np.take_along_axis(known, top, axis=1), np.take_along_axis(places, top, axis=1)
    near = np.argwhere(best >= ALIKE)
    values = best[near[:, 0], near[:, 1]]
    pairs = np.stack([near[:, 0], rows[near[:, 0], near[:, 1]]], axis=1)
    order = np.argsort(-values, kind="stable")
    return pairs[order], values[order]


def _directions(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def write_near_copies(splits: Splits, seen: Splits, run: Run) -> None:
    """Write the pairs of query and searched image that show the same, and a picture of some.

    Args:
        splits: of pixels.
        seen: the same with features of the frozen backbone.
        run: its folder.
    """
    pairs, cosines = find_near_copies(seen.query.images, seen.database.images)
    rows = splits.searched_rows(splits.query.labels), splits.searched_rows(splits.database.labels)
    shared = (rows[0][pairs[:, 0]] * rows[1][pairs[:, 1]]).any(axis=1)
    listed = [
        {"query": int(query), "image": int(image), "cosine": round(float(cosine), 4), "share_a_label": bool(same)}
        for query, image, cosine, same in zip(
            splits.query.ids[pairs[:, 0]], splits.database.ids[pairs[:, 1]], cosines, shared, strict=True
        )
    ]
    counts = {"queries": len(np.unique(pairs[:, 0])), "different_labels": int(np.count_nonzero(~shared))}
    if len(pairs):
        draw_pairs(splits, pairs, cosines, run.path("plots") / "near_copies")
    write_json(run.path("near_copies"), {**counts, "pairs": listed})


def line_of(run: Run) -> str | None:
    """Tell of the pairs that a run has, in a line; None where there are none."""
    if not run.path("near_copies").exists():
        return None
    found: dict[str, Any] = run.read("near_copies")
    if not found["queries"]:
        return None
    line = (
        f"{found['queries']:,} queries nearly show a searched image (plots/near_copies.png), so figures are too good; "
        "a table's column group keeps such pictures on one side"
    )
    differ = found["different_labels"]
    return f"{line}; pairs with different labels: {differ:,} of {len(found['pairs']):,}" if differ else line
