"""Exact scans over packed codes with FAISS, which is quicker than NumPy for many queries.

Its distances are exact; the order of equal ones is its own. So where the codes at the distance of place k do not all
fit into what it returns, they are scanned again with NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from dshgan_tf.search.collectors import ROW_BITS, ROW_MASK, Nearest
from dshgan_tf.search.scan import scan
from dshgan_tf.search.scan_threads import groups, in_threads, threads_for
from dshgan_tf.search.word_comparison import Comparison, as_words, block_size, blocks

SHARE = 1 << 19  # pairs of query and code for which a further thread is worth it


def first_rows_at(codes: np.ndarray, query: np.ndarray, distance: int, count: int, size: int) -> np.ndarray:
    """Return the first ``count`` rows at a distance, (count,) int64, among the first ``size`` if they are there."""
    most = block_size(codes.shape[1])
    compare = Comparison(codes.shape[1], most)
    (words,) = as_words(query[None])
    rows = np.empty(0, np.int64)
    for first, last in blocks(0, len(codes), min(size, most), most):
        found = (compare(as_words(codes[first:last]).T, words) == distance).nonzero()[0]
        rows = np.concatenate([rows, found[: count - len(rows)] + first])
        if len(rows) == count:
            break
    return rows


def nearest_keys(codes: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Return the keys of ``count`` rows that FAISS finds nearest, (Q, count) int64, in order; see `collectors`."""
    # FAISS' own threads spin while they wait, and stall where other programs use the cores. So it has one here; the
    # number is that of the calling thread alone.
    own_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        distances, rows = faiss.knn_hamming(queries, codes, count)
    finally:
        faiss.omp_set_num_threads(own_threads)
    keys = (distances.astype(np.int64) << ROW_BITS) | rows
    keys.sort(axis=1)
    return keys


def settle_ties_by_row(codes: np.ndarray, query: np.ndarray, keys: np.ndarray, k: int) -> None:
    """Put the first rows at the distance of place k into the keys, (M,) int64, of which k count."""
    last = int(keys[k - 1] >> ROW_BITS)
    nearer = np.searchsorted(keys, last << ROW_BITS)
    share = (k - nearer) / (len(keys) - nearer)  # of the tied rows, which are at least so many
    again = first_rows_at(codes, query, last, k - nearer, int(1.5 * share * len(codes)))
    keys[nearer:k] = (last << ROW_BITS) | again


def nearest(
    codes: np.ndarray,
    queries: np.ndarray,
    k: int,
    make: Callable[[int, int], Nearest],
    store: Callable[[int, np.ndarray, np.ndarray], None],
    group: int,
    ties_by_row: bool,
) -> None:
    """Find the k nearest rows of each query.

    Args:
        codes: (N, W) uint8, C-contiguous.
        queries: (Q, W) uint8, C-contiguous.
        k: from 1 to N.
        make: called with the number of a query and the distance at place k; makes its collector.
        store: called with the number of a query, its distances (k,) and its rows (k,).
        group: most queries of one thread at a time.
        ties_by_row: the collectors order equal distances by row alone.
    """
    threads = threads_for(len(queries) * len(codes), SHARE)
    count = min(2 * k + 32, len(codes))  # so many that mostly no tie at the distance of place k is cut

    def some(first: int, last: int) -> None:
        keys = nearest_keys(codes, queries[first:last], count)
        cuts = keys[:, k - 1] >> ROW_BITS
        cut = (keys[:, -1] >> ROW_BITS == cuts) & (count < len(codes))  # ties that FAISS may not have returned
        if ties_by_row:
            for i in np.flatnonzero(cut):
                settle_ties_by_row(codes, queries[first + i], keys[i], k)
            for i, row in enumerate(keys[:, :k], first):
                store(i, row >> ROW_BITS, row & ROW_MASK)
            return
        collectors = [make(first + i, int(distance)) for i, distance in enumerate(cuts)]
        if np.any(cut):
            again = np.flatnonzero(cut)
            scan(codes, queries[first:last][again], [collectors[i] for i in again], 0, len(codes))
        for i in np.flatnonzero(~cut):
            collectors[i].add(keys[i] >> ROW_BITS, keys[i] & ROW_MASK)
        for i, collector in enumerate(collectors, first):
            store(i, *collector.result())

    in_threads(some, groups(len(queries), group, threads), threads)
