"""Hamming ranking and its metrics: exact, tie-aware, by counting.

Each query ranks the database by Hamming distance; an image is relevant when it shares a label. Distances take only
K+1 values, so a histogram of pairs by (shared labels, distance) says everything that the ranking does, and nothing is
sorted. What the literature leaves open is an argument here, and every result names its policy:

- ``ties="expected"`` (default): the exact expectation over all orders of equally near codes. It does not depend on
  the order of the database.
- ``ties="index"``: equally near codes stay in database order, as after a stable sort.
- ``divisor="retrieved"`` (default): AP at k is divided by the relevant codes within k; ``"all"``: by all relevant
  codes in the database. For the whole ranking both are the same.
- A query without a hit counts 0, and is never left out.

``PEER`` is the policy of the usual PyTorch hashing collections: ``evaluate(..., **PEER)``. (Some of them call an
unstable sort, so that their own order of ties is no exact one.)

A database can be two arrays, or come in parts; see ``evaluate``. The result is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.retrieval import measures, ranking
from dshgan_tf.retrieval.database import Database
from dshgan_tf.retrieval.queries import Queries

if TYPE_CHECKING:
    from dshgan_tf.retrieval import asymmetric

PEER = MappingProxyType({"ties": "index", "divisor": "retrieved"})
MAX_COUNTS = 1 << 20  # counts held at once, 8 MiB of int64; the metrics' temporaries are some ten times that


def evaluate(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    database_codes: np.ndarray | Iterable[np.ndarray],
    database_labels: np.ndarray | Iterable[np.ndarray],
    num_bits: int,
    top_k: int | None = None,
    ties: str = "expected",
    divisor: str = "retrieved",
    cutoffs: Sequence[int] = (),
    query_relaxed: np.ndarray | None = None,
) -> dict[str, float | int | str]:
    """Rank a database for every query by Hamming distance, and average the usual metrics over the queries.

    Memory beyond the arguments stays under about 200 MB for two arrays, whatever Q x N is. A database that does not
    fit comes in parts: pass an iterable of arrays as ``database_codes``, and one of the same lengths (or one whole
    array) as ``database_labels``. An iterable that can be read again (a list, a ``tf.data.Dataset``, any object whose
    ``__iter__`` starts afresh) is read once for each block of queries; a one-shot iterator (a generator) is read
    once, which takes 8 Q (G+1) (K+1) bytes for the counts of all queries, and cannot serve ``ties="index"``.

    Args:
        query_codes: (Q, ceil(K/8)) uint8, packed.
        query_labels: (Q,) integer class ids, -1 for none, or (Q, L) multi-hot in {0, 1}.
        database_codes: (N, ceil(K/8)) uint8, or an iterable of such parts.
        database_labels: like ``query_labels``, (N,) or (N, L), or an iterable of such parts.
        num_bits: K, from 1 on.
        top_k: the cut k of the ``*_at_k`` metrics, at least 1. None is the whole ranking; a k beyond N is cut to N.
        ties: ``"expected"`` or ``"index"``, see above.
        divisor: ``"retrieved"`` or ``"all"``, see above.
        cutoffs: further ranks c at which ``precision_at_{c}`` and ``recall_at_{c}`` are added. Ranks beyond N are
            cut to N, under the name asked for.
        query_relaxed: None, or (Q, K) float in [0, 1], the relaxed codes that ``query_codes`` were binarised from.
            Adds ``map_asymmetric``. Memory grows by some 200 bytes for each distinct pair of code and labels in the
            database, or for each image with ``ties="index"``. With ``"expected"`` the database is read once.

    Returns:
        A flat dict. Floats, means over all queries, in [0, 1] where nothing else is said:

        - ``map``: mean average precision of the whole ranking;
        - ``map_at_k``, ``precision_at_k``, ``recall_at_k``;
        - ``ndcg_at_k``: gain ``2**shared - 1``, discount ``1/log2(rank + 1)``, ideal order of the whole database;
        - ``acg_at_k``: mean number of shared labels, from 0 to L;
        - ``precision_radius_2``, ``recall_radius_2``: within Hamming distance 2, an empty ball counts 0;
        - ``empty_ball_share``: queries without any code within distance 2;
        - ``no_relevant_share``: queries without any relevant code in the database, which count 0 in the others;
        - ``map_asymmetric``, only with ``query_relaxed``: ``map`` where equally near codes are ordered by the
          asymmetric distance to the query's relaxed code; ``ties`` is for those that still tie, such as equal codes;
        - ``mean_distance_similar``, ``mean_distance_dissimilar``: over all pairs, from 0 to K; NaN without such pairs.

        And ``k`` (int, the cut used), ``num_queries``, ``num_database`` (int) and ``policy`` (str).

    Raises:
        ValueError: if there is no query or no database code; codes are of another width, dtype or padding than
            ``num_bits`` asks for; labels are of another length or kind than codes or queries; ``top_k``, ``ties``,
            ``divisor`` or ``cutoffs`` are out of range; ``query_relaxed`` is of another shape, outside [0, 1] or
            contradicts ``query_codes``; or a one-shot iterator meets ``ties="index"``.

    Example:
        >>> codes = np.array([[0b00000000], [0b00000001], [0b00000111]], np.uint8)
        >>> evaluate(codes[:1], np.array([0]), codes[1:], np.array([1, 0]), num_bits=8)["map"]
        0.5

    Reference:
        McSherry and Najork, ECIR 2008 (ties); Järvelin and Kekäläinen, SIGIR 2000 (cumulative gain);
        Gordo and Perronnin, CVPR 2011 (asymmetric distance).
    """
    _check_policy(top_k, ties, divisor, cutoffs)
    queries = Queries.from_arrays(query_codes, query_labels, num_bits, query_relaxed)
    database = Database(database_codes, database_labels, queries)
    if ties == "index" and not database.rereadable:
        raise InputError(
            'ties="index" reads the database twice, got a one-shot iterator; pass a list of parts or an object whose '
            '__iter__ starts afresh, or use ties="expected".'
        )
    distinct = None
    if query_relaxed is not None:
        from dshgan_tf.retrieval import asymmetric

        distinct = asymmetric.DistinctCodes.from_database(database, ties)
    means = measures.Means(queries.num_bits)
    for block, counts in _count_blocks(queries, database, distinct):
        groups = ranking.Groups.from_counts(counts)
        num_database = int(counts[0].sum())
        k = num_database if top_k is None else min(int(top_k), num_database)
        cuts = np.minimum(np.array([k, *cutoffs], np.int64), num_database)
        if ties == "expected":
            ordered = measures.expected_values(groups, cuts, divisor)
        else:
            ordered = measures.index_values(groups, cuts, divisor, block, database)
        if distinct is not None:
            ordered["map_asymmetric"] = asymmetric.average_precision(block, groups, distinct)
        means.add(groups, ordered | measures.order_free_values(groups))
    result: dict[str, float | int | str] = means.of_values(cutoffs) | means.of_distances()
    result |= {"k": k, "num_queries": len(queries), "num_database": num_database}
    return result | {"policy": f"ties={ties} divisor={divisor}"}


def precision_recall_curve(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    database_codes: np.ndarray | Iterable[np.ndarray],
    database_labels: np.ndarray | Iterable[np.ndarray],
    num_bits: int,
) -> dict[str, np.ndarray]:
    """Compute precision and recall of the codes within every Hamming radius, averaged over the queries.

    A radius takes whole groups of equal distance, so no policy for ties is needed.

    Args:
        query_codes: as in ``evaluate``, like all others.
        query_labels: see there.
        database_codes: see there.
        database_labels: see there.
        num_bits: K, from 1 on.

    Returns:
        ``radius`` (K+1,) int64 from 0 to K; ``precision`` (K+1,) float64, an empty ball counts 0; ``recall`` (K+1,)
        float64, a query with nothing relevant counts 0; ``empty_ball_share`` (K+1,) float64.

    Raises:
        ValueError: as ``evaluate``.
    """
    queries = Queries.from_arrays(query_codes, query_labels, num_bits)
    database = Database(database_codes, database_labels, queries)
    sums = np.zeros((3, queries.num_bits + 1))
    for _, counts in _count_blocks(queries, database):
        sums += [part.sum(axis=0) for part in ranking.within_radius(ranking.Groups.from_counts(counts))]
    precision, recall, empty = sums / len(queries)
    radius = np.arange(queries.num_bits + 1)
    return {"radius": radius, "precision": precision, "recall": recall, "empty_ball_share": empty}


def _check_policy(top_k: int | None, ties: str, divisor: str, cutoffs: Sequence[int]) -> None:
    if ties not in ("expected", "index"):
        raise InputError(f'ties must be "expected" or "index", got {ties!r}.')
    if divisor not in ("retrieved", "all"):
        raise InputError(f'divisor must be "retrieved" or "all", got {divisor!r}.')
    for name, values in (("top_k", [] if top_k is None else [top_k]), ("cutoffs", cutoffs)):
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name} must be integers of at least 1, got {value!r}; ranks count from 1.")


def _count_blocks(
    queries: Queries, database: Database, distinct: asymmetric.DistinctCodes | None = None
) -> Iterator[tuple[Queries, np.ndarray]]:
    """Yield blocks of queries with their counts, (q, G+1, K+1) int64 by shared labels and distance.

    The blocks are the same for one array and for a stream, and so are the sums made from them, to the last bit.
    Distinct codes with the numbers of their images, where there are such, are counted instead of the database.
    """
    shape = (queries.max_shared + 1, queries.num_bits + 1)
    size = max(1, MAX_COUNTS // (shape[0] * shape[1]))
    blocks = [queries[start : start + size] for start in range(0, len(queries), size)]
    counted = distinct if distinct is not None and not distinct.by_position else None
    if database.rereadable or counted is not None:
        for block in blocks:
            yield block, _count(block, database, shape, counted)
        return
    counts = _count(queries, database, shape, None)  # the only reading there is serves all queries
    for i, block in enumerate(blocks):
        yield block, counts[i * size : (i + 1) * size]


def _count(
    queries: Queries, database: Database, shape: tuple[int, int], distinct: asymmetric.DistinctCodes | None
) -> np.ndarray:
    from dshgan_tf.retrieval import counting

    counts = np.zeros((len(queries), *shape), np.int64)
    by_query = (queries.codes, queries.labels, counts)
    unweighted = np.empty(0, np.int64)
    parts = ((*part, unweighted) for part in database.parts()) if distinct is None else (distinct.entries(),)
    for codes, labels, weights in parts:
        part = counting.Part(codes, labels, queries.class_ids)
        counting.over_queries(counting.count_range, by_query, (part, weights), codes.shape[1])
    if not counts[0].any():
        raise InputError("database_codes has no code in it, got an empty database; pass at least one.")
    return counts
