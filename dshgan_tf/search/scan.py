"""Exact scans over packed codes with NumPy: the k nearest rows of each query, and all rows within a radius.

The order is (Hamming distance, asymmetric distance if asked for, row). Blocks of codes are compared with one query
after the other. `faiss_scan` gives the same answers; it is quicker for many queries, but takes a while to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dshgan_tf.search.asymmetric_distances import AsymmetricDistances, bit_weights
from dshgan_tf.search.collectors import Nearest, Within
from dshgan_tf.search.scan_threads import groups, in_threads, ranges, threads_for
from dshgan_tf.search.word_comparison import Comparison, as_words, block_size, blocks

FIRST_BLOCK = 1 << 12  # codes that are compared first
CANDIDATES = 1 << 21  # keys that the queries of one thread may hold together
SHARE = 1 << 20  # pairs of query and code for which a further thread is worth it
FAISS_FROM = 1 << 19  # pairs from which FAISS saves so much that it is worth its import
FAISS_QUERIES, FAISS_NEIGHBOURS = 8, 128  # FAISS is quicker from so many queries and up to so many neighbours


def scan(codes: np.ndarray, queries: np.ndarray, collectors: Sequence[Within], start: int, stop: int) -> None:
    """Offer the rows ``start`` to ``stop`` to the collector of each query.

    Args:
        codes: (N, W) uint8, C-contiguous, in memory or mapped.
        queries: (Q, W) uint8, C-contiguous.
        collectors: one a query.
        start: first row.
        stop: behind the last row.
    """
    query_words = [list(query) for query in as_words(queries)]
    size = block_size(codes.shape[1])
    compare = Comparison(codes.shape[1], min(size, stop - start))
    # A small first block soon bounds the distance of place k.
    for first, last in blocks(start, stop, min(size, FIRST_BLOCK), size):
        words = as_words(codes[first:last]).T
        for query, collector in zip(query_words, collectors, strict=True):
            if collector.limit < 0:
                continue
            distances = compare(words, query)
            if first == start:
                collector.start(distances)
            found = compare.within(distances, collector.limit)
            if len(found):
                collector.add(distances[found], found + first)


def collect(
    codes: np.ndarray,
    queries: np.ndarray,
    make: Callable[[int], Within],
    store: Callable[[int, np.ndarray, np.ndarray], None],
    group: int,
) -> None:
    """Scan all rows for all queries with NumPy. Threads share the rows of few queries, or else the queries.

    Args:
        codes: (N, W) uint8, C-contiguous.
        queries: (Q, W) uint8, C-contiguous.
        make: called with the number of a query; makes its collector.
        store: called with the number of a query and the result of its collector.
        group: most queries of one thread at a time.
    """
    threads = threads_for(len(queries) * len(codes), SHARE)

    def scanned(first: int, last: int, start: int, stop: int) -> list[Within]:
        collectors = [make(i) for i in range(first, last)]
        scan(codes, queries[first:last], collectors, start, stop)
        return collectors

    def finished(first: int, last: int) -> None:
        for i, collector in enumerate(scanned(first, last, 0, len(codes)), first):
            store(i, *collector.result())

    if threads > 1 and len(queries) < 2 * threads:
        tasks = [(0, len(queries), *rows) for rows in ranges(len(codes), threads)]
        for i, (collector, *later) in enumerate(zip(*in_threads(scanned, tasks, threads), strict=True)):
            for other in later:
                collector.take(other)
            store(i, *collector.result())
    else:
        in_threads(finished, groups(len(queries), group, threads), threads)


def nearest(
    codes: np.ndarray, queries: np.ndarray, k: int, relaxed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest rows of each query; the arguments are not checked.

    Args:
        codes: (N, W) uint8, C-contiguous, in memory or mapped; padding bits are zero.
        queries: (Q, W) uint8, C-contiguous.
        k: from 1 to N.
        relaxed: (Q, K) float, in [0, 1], whose bits are the queries; None orders equal distances by row alone.

    Returns:
        distances (Q, k) int32 and rows (Q, k) int64.
    """
    weights = None if relaxed is None else bit_weights(relaxed)
    distances, rows = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    group = max(1, CANDIDATES // (2 * k + 64))

    def make(i: int, limit: int = 8 * codes.shape[1]) -> Nearest:
        return Nearest(k, limit, None if weights is None else AsymmetricDistances(codes, queries[i], weights[i]))

    def store(i: int, found_distances: np.ndarray, found_rows: np.ndarray) -> None:
        distances[i], rows[i] = found_distances, found_rows

    if len(queries) < FAISS_QUERIES or k > FAISS_NEIGHBOURS or len(queries) * len(codes) < FAISS_FROM:
        collect(codes, queries, make, store, group)
    else:
        from dshgan_tf.search import faiss_scan

        faiss_scan.nearest(codes, queries, k, make, store, group, ties_by_row=weights is None)
    return distances, rows


def within(
    codes: np.ndarray, queries: np.ndarray, radius: int, relaxed: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find all rows within a radius of each query; arguments as those of ``nearest``, with a radius of 0 to K.

    Returns:
        For each query distances (R,) int32 and rows (R,) int64.
    """
    weights = None if relaxed is None else bit_weights(relaxed)
    found: list[Any] = [None] * len(queries)

    def make(i: int) -> Within:
        return Within(radius, None if weights is None else AsymmetricDistances(codes, queries[i], weights[i]))

    def store(i: int, found_distances: np.ndarray, found_rows: np.ndarray) -> None:
        found[i] = found_distances.astype(np.int32), found_rows

    collect(codes, queries, make, store, group=CANDIDATES)
    return found
