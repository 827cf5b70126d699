"""MAP apart for queries of classes that were labelled and of classes that were not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dshgan_tf.data import Splits
from dshgan_tf.retrieval import evaluate

KINDS = {"map_seen": "MAP seen", "map_unseen": "MAP unseen", "map_among_unseen": "unseen among themselves"}


def map_by_kind(splits: Splits, rank: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, float]:
    """Evaluate queries of seen and of unseen classes apart.

    Args:
        splits: their labels say what is relevant.
        rank: takes places of queries and places of database images; returns the MAP of these queries, which search
            these images.

    Returns:
        `map_seen`, queries of labelled classes, and `map_unseen`, the others, both against the whole database;
        `map_among_unseen`, the others against images of unseen classes alone. What has no query is left out; all are
        where all classes have labels.
    """
    if not splits.unseen_names:
        return {}
    query, database = (
        splits.searched_rows(part.labels)[:, splits.num_classes :].any(axis=1)
        for part in (splits.query, splits.database)
    )
    all_images = np.arange(len(database))
    searches = {
        "map_seen": (np.flatnonzero(~query), all_images),
        "map_unseen": (np.flatnonzero(query), all_images),
        "map_among_unseen": (np.flatnonzero(query), np.flatnonzero(database)),
    }
    return {name: rank(queries, images) for name, (queries, images) in searches.items() if len(queries)}


def codes_ranker(
    splits: Splits, query_codes: np.ndarray, database_codes: np.ndarray, num_bits: int
) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return what `map_by_kind` needs, for codes.

    Args:
        splits: as there.
        query_codes: (Q, ceil(K / 8)) uint8.
        database_codes: (N, ceil(K / 8)) uint8.
        num_bits: K.
    """

    def rank(queries: np.ndarray, images: np.ndarray) -> float:
        asked, searched = splits.query.labels[queries], splits.database.labels[images]
        return evaluate(query_codes[queries], asked, database_codes[images], searched, num_bits)["map"]

    return rank
