"""Exact scans over packed codes: the k nearest rows of a query, and all rows within a radius.

The order is (Hamming distance, asymmetric distance if asked for, row). Two engines give the same answers. NumPy
compares blocks of codes with one query after the other; it is at hand. FAISS is quicker for many queries, but takes
a while to import. Its distances are exact; the order of equal ones is its own. So where the codes at the distance of
place k do not all fit, they are looked up again.

The asymmetric distance of a relaxed code h to bits b is ||h - b||^2. With q the bits of h it equals

    ||h - q||^2 + the sum of |2 h_i - 1| over the bits i in which b differs from q,

and the first term is the same for all b. The weights |2 h_i - 1| are rounded as in `retrieval.asymmetric`: to 2^-23
for float32, its resolution just below 1, to 2^-10 for float16, and to 2^-40 for float64 (coarser from 4,096 bits on).
Then no sum is rounded, in whatever order it is made, and bits that are 0.9 and 0.1 in float32 are equally sure.

A candidate is one int64 key, distance * 2^47 + row: keys sort by distance, then by row.

Reference:
    Gordo and Perronnin, "Asymmetric distances for binary embeddings", CVPR 2011.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

MAX_BITS = 65535
ROW_BITS = 47  # of a key; the distance has the 16 bits above them
ROW_MASK = (1 << ROW_BITS) - 1
FIRST_BLOCK, BLOCK = 1 << 12, 1 << 16  # codes that are compared first, and words by one call of NumPy later
CANDIDATES = 1 << 21  # keys that the queries of one thread may hold together
NUMPY_SHARE, FAISS_SHARE = 1 << 20, 1 << 19  # pairs of query and code for which a further thread is worth it
FINEST = 40  # binary places of a weight at most
FAISS_FROM = 1 << 19  # pairs from which FAISS saves so much that it is worth its import
FAISS_QUERIES, FAISS_NEIGHBOURS = 8, 128  # FAISS is quicker from so many queries and up to so many neighbours


def as_words(codes: np.ndarray) -> np.ndarray:
    """View packed codes as words, as wide ones as fit; a width that is no multiple of a word is padded and copied.

    Args:
        codes: (N, W) uint8, C-contiguous.

    Returns:
        (N, words) unsigned integers of 1, 2, 4 or 8 bytes.
    """
    width = codes.shape[1]
    size = 8 if width > 4 else 1 << (width - 1).bit_length()
    if width % size:
        padded = np.zeros((len(codes), -(-width // size) * size), np.uint8)
        padded[:, :width] = codes
        codes = padded
    return codes.view(f"u{size}")


def block_size(width: int) -> int:
    """Return how many codes of W bytes one call of NumPy compares."""
    return max(1, BLOCK // -(-width // 8))


def blocks(start: int, stop: int, first: int, later: int) -> Iterator[tuple[int, int]]:
    """Cut a range of rows into a block of ``first`` rows and blocks of ``later`` rows."""
    while start < stop:
        yield start, min(start + first, stop)
        start, first = start + first, later


class Comparison:
    """Count the bits in which codes differ from a query, in buffers that are made once.

    Args:
        width: W, bytes of a code.
        size: most codes of one call.
    """

    def __init__(self, width: int, size: int) -> None:
        """Make the buffers; see the class."""
        self._different = np.empty(size, as_words(np.empty((0, width), np.uint8)).dtype)
        self._distances = np.empty(size, np.uint8 if width < 32 else np.uint16)
        self._more = np.empty(size, np.uint8)
        self._wanted = np.empty(size, bool)

    def __call__(self, words: np.ndarray, query: Sequence[np.integer]) -> np.ndarray:
        """Return the distances of N codes, (N,) uint8 or uint16, valid until the next call.

        Args:
            words: (words, N) unsigned integers, the columns of ``as_words``.
            query: one word of the query for each.
        """
        size = words.shape[1]
        different, distances, more = self._different[:size], self._distances[:size], self._more[:size]
        np.bitwise_xor(words[0], query[0], out=different)
        np.bitwise_count(different, out=distances)
        for column, word in zip(words[1:], query[1:], strict=True):
            np.bitwise_xor(column, word, out=different)
            np.bitwise_count(different, out=more)
            np.add(distances, more, out=distances)
        return distances

    def within(self, distances: np.ndarray, limit: int) -> np.ndarray:
        """Return the places of the distances of at most ``limit``, which is at least 0."""
        return np.less_equal(distances, limit, out=self._wanted[: len(distances)]).nonzero()[0]


def bit_weights(relaxed: np.ndarray) -> np.ndarray:
    """Return what each differing bit adds to the asymmetric distance; see the module.

    Args:
        relaxed: (Q, K) float, in [0, 1].

    Returns:
        (Q, K) float64, whole numbers.
    """
    if not np.issubdtype(relaxed.dtype, np.floating):
        relaxed = relaxed.astype(np.float64)
    # The sums stay below 2^53, up to which float64 holds all whole numbers.
    places = min(np.finfo(relaxed.dtype).nmant, FINEST, 64 - 2 * relaxed.shape[1].bit_length())
    return np.rint(np.ldexp(np.abs(2.0 * relaxed.astype(np.float64) - 1.0), places))


@functools.cache
def bits_of_bytes() -> np.ndarray:
    """Return the bits of all bytes, (8, 256) float64, the most significant first."""
    return np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(np.float64)


class Asymmetric:
    """Asymmetric distances of a relaxed query code to rows, up to a constant; see the module.

    Args:
        codes: (N, W) uint8.
        query: (W,) uint8, the bits of the relaxed code.
        weights: (K,) float64, from ``bit_weights``.
    """

    def __init__(self, codes: np.ndarray, query: np.ndarray, weights: np.ndarray) -> None:
        """Tabulate the sums of the weights of each byte."""
        self._codes, self._query = codes, query
        padded = np.zeros((len(query), 8))
        padded.reshape(-1)[: len(weights)] = weights
        self._sums = (padded @ bits_of_bytes()).reshape(-1)
        self._tables = np.arange(0, len(self._sums), 256)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the distances of rows, (R,) float64."""
        total = np.empty(len(rows))
        step = max(1, BLOCK // len(self._query))
        for start in range(0, len(rows), step):
            different = self._codes[rows[start : start + step]] ^ self._query
            total[start : start + step] = self._sums.take(different + self._tables).sum(axis=1)
        return total


class Within:
    """Collect the rows within a radius.

    Args:
        radius: at least 0.
        asymmetric: orders the rows of one distance; None leaves them in order.
    """

    def __init__(self, radius: int, asymmetric: Asymmetric | None = None) -> None:
        """Start with none."""
        self.limit = radius  # farther rows are not wanted; below 0 none is
        self._asymmetric = asymmetric
        self._parts: list[np.ndarray] = []

    def start(self, distances: np.ndarray) -> None:
        """Adjust the limit to the distances of the first rows, before any is added."""

    def add(self, distances: np.ndarray, rows: np.ndarray) -> None:
        """Take rows behind those that were taken, at most ``limit`` away."""
        self._parts.append((distances.astype(np.int64) << ROW_BITS) | rows)

    def take(self, other: Within) -> None:
        """Take the rows of a scan of later rows."""
        self._parts += other._parts

    def _keys(self) -> np.ndarray:
        if not self._parts:
            return np.empty(0, np.int64)
        keys = np.concatenate(self._parts)
        keys.sort()
        return keys

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return distances (R,) int64 and rows (R,) int64, in order."""
        keys = self._keys()
        distances, rows = keys >> ROW_BITS, keys & ROW_MASK
        if self._asymmetric is not None:
            rows = rows[np.lexsort((self._asymmetric(rows), distances))]  # stable: equal ones stay in order
        return distances, rows


class Nearest(Within):
    """Collect the k nearest rows, with the limit on the distance falling.

    Args:
        k: how many.
        limit: a distance within which k rows are known to be.
        asymmetric: orders the rows of one distance, those at the distance of place k as well; None leaves them in
            order.
    """

    def __init__(self, k: int, limit: int, asymmetric: Asymmetric | None = None) -> None:
        """Start with none."""
        super().__init__(limit, asymmetric)
        self._k = k
        self._count, self._full = 0, k

    def start(self, distances: np.ndarray) -> None:
        """Lower the limit to the distance of place k, where there are as many rows."""
        if len(distances) >= self._k:
            self.limit = min(self.limit, int(np.partition(distances, self._k - 1)[self._k - 1]))

    def add(self, distances: np.ndarray, rows: np.ndarray) -> None:
        """Take rows, and drop what cannot be among the k nearest any more."""
        super().add(distances, rows)
        self._count += len(rows)
        if self._count >= self._full:
            keys = self._keys()
            last = int(keys[-1] >> ROW_BITS)
            # A later row at the last distance can win by its asymmetric distance alone, but not at distance 0.
            self.limit = last if self._asymmetric is not None and last else last - 1
            self._parts, self._count, self._full = [keys.copy()], self._k, 2 * self._k + 64  # not a view of all

    def _keys(self) -> np.ndarray:
        keys = super()._keys()
        k = self._k
        if self._asymmetric is None or len(keys) <= k:
            return keys[:k]
        last = keys[k - 1] >> ROW_BITS
        nearer, tied = np.searchsorted(keys, [last << ROW_BITS, (last + 1) << ROW_BITS])
        if tied > k:
            rows = keys[nearer:tied] & ROW_MASK
            chosen = np.argsort(self._asymmetric(rows), kind="stable")[: k - nearer]
            keys[nearer:k] = keys[nearer:tied][chosen]
        return keys[:k]


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


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(pairs: int, share: int) -> int:
    """Return how many threads to take for so many pairs of query and code, with a ``share`` for each."""
    return max(1, min(cores(), pairs // share))


def in_threads(function: Callable, tasks: Sequence[tuple], threads: int) -> list[Any]:
    """Call a function for each tuple of arguments and return the results; the calling thread works too."""
    if threads == 1:
        return [function(*arguments) for arguments in tasks]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads - 1) as pool:
        futures = [pool.submit(function, *arguments) for arguments in tasks]
        # From the end, those that no other thread has begun.
        own = {i: function(*tasks[i]) for i in reversed(range(len(tasks))) if futures[i].cancel()}
        return [own[i] if i in own else future.result() for i, future in enumerate(futures)]


def ranges(size: int, parts: int) -> list[tuple[int, int]]:
    """Cut ``size`` things into ``parts`` ranges of about one size, none empty."""
    parts = max(1, min(parts, size))
    bounds = [size * i // parts for i in range(parts + 1)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


def groups(num_queries: int, group: int, threads: int) -> list[tuple[int, int]]:
    """Cut queries into groups of at most ``group``, one a thread; or four, so that a slow core does fewer."""
    parts = max(threads, min(4 * threads, num_queries // 16)) if threads > 1 else 1
    return ranges(num_queries, max(parts, -(-num_queries // group)))


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
    threads = threads_for(len(queries) * len(codes), NUMPY_SHARE)

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

    def make(i: int, limit: int = 8 * codes.shape[1]) -> Nearest:
        return Nearest(k, limit, None if weights is None else Asymmetric(codes, queries[i], weights[i]))

    def store(i: int, found_distances: np.ndarray, found_rows: np.ndarray) -> None:
        distances[i], rows[i] = found_distances, found_rows

    group = max(1, CANDIDATES // (2 * k + 64))
    pairs = len(queries) * len(codes)
    if len(queries) < FAISS_QUERIES or k > FAISS_NEIGHBOURS or pairs < FAISS_FROM:
        collect(codes, queries, make, store, group)
        return distances, rows

    import faiss

    threads = threads_for(pairs, FAISS_SHARE)
    more = min(2 * k + 32, len(codes))  # so many that mostly no tie at the distance of place k is cut

    def with_faiss(first: int, last: int) -> None:
        # FAISS' own threads spin while they wait, and stall where other programs use the cores. So it has one here;
        # the number is that of the calling thread alone.
        own_threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            found_distances, found_rows = faiss.knn_hamming(queries[first:last], codes, more)
        finally:
            faiss.omp_set_num_threads(own_threads)
        keys = (found_distances.astype(np.int64) << ROW_BITS) | found_rows
        keys.sort(axis=1)
        cuts = (keys[:, k - 1] >> ROW_BITS).tolist()
        tied = np.flatnonzero((keys[:, -1] >> ROW_BITS == cuts) & (more < len(codes)))
        if weights is None:
            for i in tied:
                nearer = np.searchsorted(keys[i], cuts[i] << ROW_BITS)
                share = (k - nearer) / (more - nearer)  # of the tied rows, which are at least so many
                again = first_rows_at(codes, queries[first + i], cuts[i], k - nearer, int(1.5 * share * len(codes)))
                keys[i, nearer:k] = (cuts[i] << ROW_BITS) | again
            distances[first:last], rows[first:last] = keys[:, :k] >> ROW_BITS, keys[:, :k] & ROW_MASK
            return
        collectors = [make(first + i, cut) for i, cut in enumerate(cuts)]
        if len(tied):
            scan(codes, queries[first:last][tied], [collectors[i] for i in tied], 0, len(codes))
        for i in np.setdiff1d(np.arange(last - first), tied):
            collectors[i].add(keys[i] >> ROW_BITS, keys[i] & ROW_MASK)
        for i, collector in enumerate(collectors, first):
            store(i, *collector.result())

    in_threads(with_faiss, groups(len(queries), group, threads), threads)
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
        return Within(radius, None if weights is None else Asymmetric(codes, queries[i], weights[i]))

    def store(i: int, found_distances: np.ndarray, found_rows: np.ndarray) -> None:
        found[i] = found_distances.astype(np.int32), found_rows

    collect(codes, queries, make, store, group=CANDIDATES)
    return found
