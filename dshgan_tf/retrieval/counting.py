"""Compiled inner loops of the retrieval evaluation: count pairs by Hamming distance and by shared labels.

Importing this module imports numba, so ``dshgan_tf.retrieval`` does it when it evaluates. The loops release the
interpreter's lock and run in plain threads over ranges of queries: unlike numba's own parallel loops that needs no
threading layer, survives a fork, and compiles in a second. Every query's numbers are made by one thread, in
database order, so that results depend neither on the number of threads nor on how a database is cut into parts.

Queries are (Q, words) uint64. A database part is (words, N) uint64, one word of all codes after the other, so that
the loops over codes run along memory and the compiler can vectorise them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np

TILE = 2048  # codes that every query of a thread visits before the next ones are read: they stay in the L2 cache
SMALL = 1 << 20  # pairs below which starting threads costs more than it saves


def compiled(function: Callable) -> Callable:
    """Compile without the interpreter's lock, and keep the machine code on disk where a folder for it is writable.

    What is kept is tied to the function's own file. Whoever changes a compiled function removes ``__pycache__``, or
    the functions of other files that call it go on with the old one.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no writable cache folder, as in a read-only container
        return numba.njit(nogil=True)(function)


def over_queries(kernel: Callable, by_query: Sequence[np.ndarray], common: Sequence, num_codes: int) -> None:
    """Run a kernel on ranges of queries, in as many threads as there are cores.

    Args:
        kernel: called with the rows of ``by_query``, then with ``common``.
        by_query: arrays with a row for each query; the kernel changes some of them.
        common: further arguments, the same for all.
        num_codes: codes in the database part, to tell whether threads are worth it.
    """
    num_queries = len(by_query[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or num_queries * num_codes < SMALL:
        kernel(*by_query, *common)
        return
    ranges = min(num_queries, 4 * cores)  # more ranges than cores, so that a slow core does fewer
    bounds = [num_queries * i // ranges for i in range(ranges + 1)]
    with ThreadPoolExecutor(cores) as pool:
        started = [
            pool.submit(kernel, *(array[start:stop] for array in by_query), *common)
            for start, stop in itertools.pairwise(bounds)
        ]
    for future in started:
        future.result()


class Part(NamedTuple):
    """A part of the database: codes (words, N) and labels (label words, N), uint64.

    ``class_ids`` says whether labels are class ids (equal or not) or sets (bits shared).
    """

    codes: np.ndarray
    labels: np.ndarray
    class_ids: bool


@compiled
def popcount(word: int) -> int:
    """Count the set bits of a 64-bit word (the compiler knows this idiom and emits the processor's instruction)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def fill_distances(query: np.ndarray, words: np.ndarray, start: int, size: int, distances: np.ndarray) -> None:
    """Write the Hamming distances of one query to ``size`` codes from ``start`` on."""
    distances[:size] = 0
    for w in range(words.shape[0]):
        query_word = query[w]
        row = words[w, start : start + size]
        for j in range(size):
            distances[j] += np.uint32(popcount(query_word ^ row[j]))


@compiled
def fill_shared(
    query: np.ndarray, words: np.ndarray, start: int, size: int, class_ids: bool, top: int, shared: np.ndarray
) -> None:
    """Write how many labels one query shares with ``size`` images from ``start`` on, at most ``top``."""
    shared[:size] = 0
    if class_ids:
        for j in range(size):
            shared[j] = np.uint32(query[0] == words[0, start + j])
        return
    for w in range(words.shape[0]):
        query_word = query[w]
        row = words[w, start : start + size]
        for j in range(size):
            shared[j] += np.uint32(popcount(query_word & row[j]))
    for j in range(size):
        shared[j] = min(shared[j], np.uint32(top))


@compiled
def add_histogram(bins: np.ndarray, size: int, counts: np.ndarray, even: np.ndarray, odd: np.ndarray) -> None:
    """Add one to ``counts`` for each of ``size`` bins.

    Codes of a trained model repeat, and adding to the same place twice in a row waits for the first addition to be
    stored. Two histograms in turn halve that wait.
    """
    if 4 * len(counts) > size:  # clearing and adding up two histograms would cost more than the wait
        for j in range(size):
            counts[bins[j]] += 1
        return
    even[:] = 0
    odd[:] = 0
    for j in range(size // 2):
        even[bins[2 * j]] += 1
        odd[bins[2 * j + 1]] += 1
    if size % 2:
        even[bins[size - 1]] += 1
    for b in range(len(counts)):
        counts[b] += even[b] + odd[b]


@compiled
def count_range(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    counts: np.ndarray,
    part: Part,
    weights: np.ndarray,
) -> None:
    """Add the pairs of some queries and one database part to ``counts`` (Q, G+1, K+1) int64.

    ``weights`` is (N,) int64, how many images each database code stands for, or empty where each is one.
    """
    num_queries, levels, num_distances = counts.shape
    num_codes = part.codes.shape[1]
    bins, shared = np.empty(TILE, np.uint32), np.empty(TILE, np.uint32)
    even, odd = np.empty(levels * num_distances, np.int64), np.empty(levels * num_distances, np.int64)
    for start in range(0, num_codes, TILE):
        size = min(TILE, num_codes - start)
        for q in range(num_queries):
            fill_distances(query_codes[q], part.codes, start, size, bins)
            fill_shared(query_labels[q], part.labels, start, size, part.class_ids, levels - 1, shared)
            for j in range(size):
                bins[j] += shared[j] * np.uint32(num_distances)
            if not len(weights):
                add_histogram(bins, size, counts[q].reshape(-1), even, odd)
                continue
            flat = counts[q].reshape(-1)
            for j in range(size):
                flat[bins[j]] += weights[start + j]


@compiled
def rank_range(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    ranks: np.ndarray,
    sums: np.ndarray,
    hits_at: np.ndarray,
    part: Part,
    cutoffs: np.ndarray,
) -> None:
    """Add up what depends on the rank of each relevant code of one part, ties in database order (stable).

    A code's rank is the number of nearer codes, plus that of equally near ones before it, plus one: the second pass
    over the database knows the first from the histogram and counts the second as it goes.

    Args:
        query_codes: (Q, words) uint64.
        query_labels: (Q, label words) uint64.
        ranks: (Q, 2, K+1) int64, how many codes rank above the next one of each distance, and how many of these are
            relevant. Changed.
        sums: (Q, 4) float64: precision at the relevant ranks, the same within k, shared labels within k, discounted
            gain within k. Changed.
        hits_at: (Q, C) int64, relevant codes within each cutoff. Changed.
        part: of the database.
        cutoffs: (C,) int64, the first is the cut k.
    """
    num_codes = part.codes.shape[1]
    distances, shared = np.empty(TILE, np.uint32), np.empty(TILE, np.uint32)
    for start in range(0, num_codes, TILE):
        size = min(TILE, num_codes - start)
        for q in range(len(query_codes)):
            seen, hits = ranks[q, 0], ranks[q, 1]
            fill_distances(query_codes[q], part.codes, start, size, distances)
            fill_shared(query_labels[q], part.labels, start, size, part.class_ids, 1 << 30, shared)
            for j in range(size):
                seen[distances[j]] += 1
                if shared[j] == 0:
                    continue
                rank = seen[distances[j]]
                hits[distances[j]] += 1
                precision = hits[distances[j]] / rank
                sums[q, 0] += precision
                if rank <= cutoffs[0]:
                    sums[q, 1] += precision
                    sums[q, 2] += shared[j]
                    sums[q, 3] += (2.0 ** shared[j] - 1.0) / math.log2(rank + 1.0)
                for c in range(len(cutoffs)):
                    hits_at[q, c] += rank <= cutoffs[c]


@compiled
def expected_ratio(
    precision_sum: np.ndarray,
    before: np.ndarray,
    relevant_before: np.ndarray,
    size: np.ndarray,
    relevant: np.ndarray,
    places: np.ndarray,
    harmonic: np.ndarray,
) -> np.ndarray:
    """Expect AP over the relevant codes within a cut that falls into a group of equal distance.

    The hits h among the group's ``places`` above the cut are hypergeometric. Given h they lie anywhere, so that the
    expected sum of precisions has the closed form of a group of ``places`` codes with h relevant ones, and the
    divisor is ``relevant_before + h``. The weights are built up by their ratios from the mode outwards, which neither
    overflows nor underflows, until they no longer count.

    Args:
        precision_sum: (Q,) float64, expected sum of precisions at the relevant ranks of the nearer groups.
        before: (Q,) int64, codes in nearer groups.
        relevant_before: (Q,) int64, relevant ones among them.
        size: (Q,) int64, codes in the cut group, at least 1.
        relevant: (Q,) int64, relevant ones among them.
        places: (Q,) int64, codes of the cut group above the cut, from 1 to ``size``.
        harmonic: (Q,) float64, sum of 1/i over the ranks i of these places.

    Returns:
        (Q,) float64, in [0, 1]; 0 where no hit lies above the cut, whatever the order.
    """
    ratios = np.zeros(len(size))
    for q in range(len(size)):
        n, r, p = size[q], relevant[q], places[q]
        low, high = max(0, p - (n - r)), min(p, r)
        mode = min(max(int((p + 1.0) * (r + 1.0) / (n + 2.0)), low), high)
        total = 0.0
        for step in (1, -1):
            h, weight = mode, 1.0
            while low <= h <= high and weight > 1e-25:
                if step == 1 or h != mode:  # the mode belongs to the way up
                    total += weight
                    if relevant_before[q] + h > 0:
                        slope = (h - 1.0) / max(p - 1, 1)
                        level = relevant_before[q] + 1.0 - slope * (before[q] + 1.0)
                        tied = h / p * (p * slope + level * harmonic[q])
                        ratios[q] += weight * (precision_sum[q] + tied) / (relevant_before[q] + h)
                if step == 1:
                    weight *= (r - h) / (h + 1.0) * ((p - h) / (n - r - p + h + 1.0))
                else:
                    weight *= h / (r - h + 1.0) * ((n - r - p + h) / (p - h + 1.0))
                h += step
        ratios[q] /= total
    return ratios
