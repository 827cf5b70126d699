"""Order equally near codes by the asymmetric distance: how sure the query is of the bits that differ.

A query's relaxed code h keeps what its bits q lose. The asymmetric distance compares it with the bits b of a database
code (Gordo and Perronnin, CVPR 2011). A bit with b = q adds (h - q)^2 and one with b = 1 - q adds (h - 1 + q)^2; the
difference is 1 - 2h for q = 0 and 2h - 1 for q = 1, which is |2h - 1| for both. So

    ||h - b||^2 = ||h - q||^2 + sum of |2 h_i - 1| over the bits i with b_i != q_i

exactly, and the first term is the same for all codes. Within one Hamming distance the second one decides.

It is summed in fixed point. The summands |2h - 1| are rounded to 2^-23 for float32, which is the step between its
largest ones, to 2^-10 for float16, and to 2^-40 for float64 (coarser from 4,096 bits on). Sums are then exact, and
whether two of them are equal does not depend on the order of summation. A bit that is 0.9 and one that is 0.1 are
equally sure, though their float32 are not equally far from 0.5.

Codes repeat, so a database is held as its distinct codes; each has entries that say which labels its images have.
With few distinct codes that makes up for the sorting: counting them takes less time than counting all images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dshgan_tf.codes import code_words, pack
from dshgan_tf.retrieval import counting, ordering, ranking
from dshgan_tf.retrieval.database import Database
from dshgan_tf.retrieval.queries import Queries
from dshgan_tf.retrieval.radix import stable_order

FINEST = 40  # binary places of a summand at most
MERGE_FROM = 1 << 16  # entries from which on parts are merged as they come


class DistinctCodes(NamedTuple):
    """The distinct codes of a database, in ascending order, and the labels of their images.

    With ``ties="expected"`` an entry is a pair of code and label set, with ``"index"`` an image. To make and use them
    takes some 200 bytes an entry. A named tuple, since compiled functions take it as it is.

    Attributes:
        codes: (words, D) uint64.
        starts: (D+1,) int64, where the entries of each code start.
        values: (M,) int64, of each entry: how many images it stands for, or the image's position in the database.
        label_numbers: (M,) int64, number of each entry's label set.
        label_sets: (label words, U) uint64.
        by_position: whether ``values`` are positions.
    """

    codes: np.ndarray
    starts: np.ndarray
    values: np.ndarray
    label_numbers: np.ndarray
    label_sets: np.ndarray
    by_position: bool

    @classmethod
    def from_database(cls, database: Database, ties: str) -> DistinctCodes:
        """Read a database once; see ``retrieval.evaluate`` for ``ties``, and for the errors."""
        by_position = ties == "index"
        num_labels = database.queries.labels.shape[1]
        rows = np.empty((num_labels + database.queries.codes.shape[1], 0), np.uint64)  # label words, then code words
        held = [(rows, np.empty(0, np.int64))]
        num_images = num_merged = num_held = 0
        for codes, labels in database.parts():
            count = codes.shape[1]
            values = np.arange(num_images, num_images + count) if by_position else np.ones(count, np.int64)
            held.append((np.concatenate([labels, codes]), values))
            num_images, num_held = num_images + count, num_held + count
            if not by_position and num_held > max(2 * num_merged, MERGE_FROM):  # a merge for every doubling
                held = [_merge(held)]
                num_held = num_merged = len(held[0][1])
        if by_position:
            rows, values = (np.concatenate(arrays, axis=-1) for arrays in zip(*held, strict=True))
            order = stable_order(rows[num_labels:])
            rows, values = rows[:, order], values[order]
        else:
            rows, values = _merge(held)
        starts = np.append(_starts(rows[num_labels:]), len(values))
        order = stable_order(rows[:num_labels])
        labels = rows[:num_labels, order]
        first = _starts(labels)
        label_numbers = np.empty(len(values), np.int64)
        label_numbers[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
        codes = np.ascontiguousarray(rows[num_labels:, starts[:-1]])
        return cls(codes, starts, values, label_numbers, np.ascontiguousarray(labels[:, first]), by_position)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the codes (words, M) and labels (label words, M), uint64, and the values (M,) of all entries."""
        codes = np.repeat(self.codes, np.diff(self.starts), axis=1)
        return codes, self.label_sets[:, self.label_numbers], self.values


def average_precision(queries: Queries, groups: ranking.Groups, distinct: DistinctCodes) -> np.ndarray:
    """Compute AP of the whole ranking, by Hamming distance and within it by the asymmetric distance.

    Codes that still tie are averaged over all their orders, or stay in database order, as ``distinct`` was made.

    Args:
        queries: Q of them, with relaxed codes.
        groups: their groups of equal Hamming distance.
        distinct: the database.

    Returns:
        (Q,) float64, in [0, 1]; 0 for a query without a hit.
    """
    weights, distance_shift = bit_weights(queries.relaxed)
    sums = np.empty(len(queries))
    asked = ordering.Asked(queries.codes, queries.labels, weights, distance_shift, queries.class_ids)
    by_label = np.lexsort(queries.labels.T)  # what a label makes relevant is counted once
    work = 8 * distinct.codes.shape[1]  # to order a code takes some eight times as long as to count it
    counting.over_queries(ordering.precision_range, (by_label,), (asked, groups, distinct, sums), work)
    return ranking.ratio(sums, groups.num_relevant)


def bit_weights(relaxed: np.ndarray) -> tuple[np.ndarray, int]:
    """Compute what each differing bit adds to a code's sorting key: 1 to the distance, and |2h - 1| below it.

    Args:
        relaxed: (Q, K) floating, in [0, 1].

    Returns:
        (Q, 64 ceil(K/64)) uint64, by the place of each bit in the codes' words; and the bit of a key where the
        Hamming distance starts, above the rounded asymmetric distance.
    """
    num_bits = relaxed.shape[1]
    whole = num_bits.bit_length()  # a sum of K summands of at most 1 is below 2**whole, and so is the distance
    binary_places = min(np.finfo(relaxed.dtype).nmant, FINEST, 64 - 2 * whole)
    sureness = np.abs(np.multiply(relaxed, 2.0, dtype=np.float64) - 1.0)
    rounded = np.rint(np.ldexp(sureness, binary_places, out=sureness), out=sureness).astype(np.uint64)
    single = code_words(pack(np.eye(num_bits, dtype=bool)))  # (K, words), one bit each: where it is, is the machine's
    word = single.argmax(axis=1)
    below = np.bitwise_count(single.max(axis=1) - np.uint64(1))
    weights = np.zeros((len(relaxed), 64 * single.shape[1]), np.uint64)
    weights[:, 64 * word + below] = rounded + (np.uint64(1) << np.uint64(whole + binary_places))
    return weights, whole + binary_places


def _merge(held: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows by code and then by labels, and add up the counts of equal ones."""
    rows, counts = (np.concatenate(arrays, axis=-1) for arrays in zip(*held, strict=True))
    order = stable_order(rows)
    rows = rows[:, order]
    starts = _starts(rows)
    return rows[:, starts], np.add.reduceat(counts[order], starts)


def _starts(rows: np.ndarray) -> np.ndarray:
    """Return where the columns of sorted rows (R, n) change, from 0 on."""
    changes = np.ones(rows.shape[1], bool)
    changes[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    return np.flatnonzero(changes)
