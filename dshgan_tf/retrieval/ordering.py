"""Compiled inner loops that order equally near codes by the asymmetric distance and add up the precisions.

See `asymmetric` for what is computed. Like those of `counting` the loops release the interpreter's lock and run over
ranges of queries. Importing this module imports numba.

Keys are fixed-point numbers in 64 bits, so a sum of weights is exact in any order of its terms, and equal means equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dshgan_tf.retrieval.counting import TILE, compiled, fill_distances, fill_shared
from dshgan_tf.retrieval.expected_precisions import expected_precisions
from dshgan_tf.retrieval.radix import WIDEST, sort_keys

if TYPE_CHECKING:
    from dshgan_tf.retrieval.asymmetric import DistinctCodes
    from dshgan_tf.retrieval.ranking import Groups


@compiled
def find_codes(
    query: np.ndarray, words: np.ndarray, wanted: np.ndarray, distances: np.ndarray, found: np.ndarray
) -> int:
    """Write the numbers of the codes at the wanted Hamming distances to ``found``, and return how many they are."""
    count = 0
    for start in range(0, words.shape[1], TILE):
        size = min(TILE, words.shape[1] - start)
        fill_distances(query, words, start, size, distances)
        for j in range(size):
            found[count] = start + j  # overwritten by the next one unless wanted: no branch to mispredict
            count += wanted[distances[j]]
    return count


@compiled
def fill_keys(
    query: np.ndarray,
    weights: np.ndarray,
    words: np.ndarray,
    found: np.ndarray,
    count: int,
    byte_keys: np.ndarray,
    keys: np.ndarray,
) -> None:
    """Write the sums of the weights of the bits in which ``count`` found codes differ from a query.

    Args:
        query: (words,) uint64.
        weights: (64 words,) uint64, by the place of a bit in its word, the least significant first.
        words: (words, D) uint64.
        found: (D,) uint32, numbers of codes.
        count: how many of them.
        byte_keys: (8, 256) uint64, overwritten: what each pattern of each byte of a word adds.
        keys: (D,) uint64, overwritten.
    """
    keys[:count] = 0
    for w in range(len(query)):
        for byte in range(8):
            row = byte_keys[byte]
            row[0] = 0
            for bit in range(8):
                weight = weights[64 * w + 8 * byte + bit]
                for pattern in range(1 << bit):
                    row[pattern + (1 << bit)] = row[pattern] + weight
        query_word, database_words = query[w], words[w]
        for j in range(count):
            different = database_words[found[j]] ^ query_word
            key = keys[j]
            for byte in range(8):
                key += byte_keys[byte, (different >> np.uint64(8 * byte)) & np.uint64(255)]
            keys[j] = key


class Asked(NamedTuple):
    """Queries: codes (Q, words), labels (Q, label words), and weights (Q, 64 words), all uint64.

    The weights are what each differing bit adds to a key. A key's bits from ``distance_shift`` on are the Hamming
    distance. ``class_ids`` says whether labels are class ids or sets.
    """

    codes: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    distance_shift: int
    class_ids: bool


class Sorted(NamedTuple):
    """Numbers of codes or images with their keys, and as much room again to sort them in."""

    keys: np.ndarray
    numbers: np.ndarray
    spare_keys: np.ndarray
    spare_numbers: np.ndarray


@compiled
def room_for(size: int) -> Sorted:
    """Make room for so many keys, uint64, and numbers, uint32."""
    keys, numbers = np.empty(size, np.uint64), np.empty(size, np.uint32)
    return Sorted(keys, numbers, np.empty(size, np.uint64), np.empty(size, np.uint32))


@compiled
def fill_contents(entries: DistinctCodes, related: np.ndarray, contents: np.ndarray) -> None:
    """Write the numbers of images and of related images of each code to ``contents`` (D, 2) int64."""
    for code in range(len(contents)):
        size, relevant = 0, 0
        for entry in range(entries.starts[code], entries.starts[code + 1]):
            images = 1 if entries.by_position else entries.values[entry]
            size += images
            relevant += images * related[entries.label_numbers[entry]]
        contents[code, 0], contents[code, 1] = size, relevant


@compiled
def settle_groups(q: int, groups: Groups, by_position: bool, wanted: np.ndarray) -> tuple[float, bool]:
    """Mark the distances of one query whose codes must be ordered, in ``wanted`` (K+1,) uint8.

    A group whose codes are all relevant needs no order, and one without a relevant code adds nothing.

    Returns:
        The sum of precisions of the others, and whether any is marked.
    """
    total, any_wanted, num_distances = 0.0, False, len(wanted)
    for d in range(num_distances):
        size, relevant = groups.size[q, d], groups.relevant[q, d]
        one_code = (d == 0 or d == num_distances - 1) and not by_position
        wanted[d] = 0 < relevant < size and not one_code
        any_wanted |= wanted[d] > 0
        if not wanted[d]:
            total += expected_precisions(groups.before[q, d], groups.relevant_before[q, d], size, relevant)
    return total, any_wanted


@compiled
def precisions_in_order(
    start: int,
    stop: int,
    found: np.ndarray,
    entries: DistinctCodes,
    related: np.ndarray,
    images: Sorted,
    rank: np.ndarray,
) -> float:
    """Sum the precisions of the images of tied codes in database order.

    Args:
        start: first of the tied codes in ``found``.
        stop: behind the last.
        found: (D,) uint32, numbers of codes.
        entries: the database.
        related: (U,) uint32, whether a label set is relevant.
        images: room for them.
        rank: (2,) int64, images and relevant images so far. Changed.
    """
    counters = np.empty(1 << WIDEST, np.uint32)
    size = 0
    for j in range(start, stop):
        for entry in range(entries.starts[found[j]], entries.starts[found[j] + 1]):
            images.keys[size], images.numbers[size] = entries.values[entry], entries.label_numbers[entry]
            size += 1
    if stop - start > 1:
        sort_keys(images.keys, images.numbers, images.spare_keys, images.spare_numbers, size, counters)
    total = 0.0
    for j in range(size):
        rank[0] += 1
        if related[images.numbers[j]]:
            rank[1] += 1
            total += rank[1] / rank[0]
    return total


@compiled
def precisions_of_sorted(
    q: int,
    count: int,
    groups: Groups,
    shift: int,
    codes: Sorted,
    contents: np.ndarray,
    place: tuple[DistinctCodes, np.ndarray, Sorted],
) -> float:
    """Sum the precisions of ``count`` codes of one query, sorted by their keys.

    Args:
        q: the query.
        count: how many codes.
        groups: codes by Hamming distance.
        shift: where the Hamming distance starts in a key.
        codes: the codes' keys and numbers.
        contents: (D, 2) int64, images and relevant images of each code.
        place: for ties in database order, what ``precisions_in_order`` takes.
    """
    entries, related, images = place
    rank = np.zeros(2, np.int64)
    total, last, stop = 0.0, -1, 0
    while stop < count:
        start, key = stop, codes.keys[stop]
        size, relevant = 0, 0
        while stop < count and codes.keys[stop] == key:
            size, relevant = size + contents[codes.numbers[stop], 0], relevant + contents[codes.numbers[stop], 1]
            stop += 1
        d = np.int64(key >> np.uint64(shift))
        if d != last:
            last, rank[0], rank[1] = d, groups.before[q, d], groups.relevant_before[q, d]
        if entries.by_position and 0 < relevant < size:
            total += precisions_in_order(start, stop, codes.numbers, entries, related, images, rank)
        else:
            total += expected_precisions(rank[0], rank[1], size, relevant)
            rank[0], rank[1] = rank[0] + size, rank[1] + relevant
    return total


@compiled
def precision_range(order: np.ndarray, asked: Asked, groups: Groups, entries: DistinctCodes, sums: np.ndarray) -> None:
    """Add up the precisions at the relevant ranks of some queries, Hamming distance first, keys second.

    Args:
        order: (q,) int64, which queries; those of equal labels one after the other.
        asked: all queries.
        groups: their codes by Hamming distance.
        entries: the database.
        sums: (Q,) float64, overwritten at the places in ``order``.
    """
    num_codes = entries.codes.shape[1]
    wanted, distances = np.zeros(groups.size.shape[1], np.uint8), np.empty(TILE, np.uint32)
    related, related_to = np.empty(entries.label_sets.shape[1], np.uint32), -1
    contents = np.empty((num_codes, 2), np.int64)
    byte_keys, counters = np.empty((8, 256), np.uint64), np.empty(1 << WIDEST, np.uint32)
    codes, images = room_for(num_codes), room_for(len(entries.values) if entries.by_position else 0)
    for q in order:
        sums[q], any_wanted = settle_groups(q, groups, entries.by_position, wanted)
        if not any_wanted:
            continue
        if related_to < 0 or not np.array_equal(asked.labels[q], asked.labels[related_to]):
            related_to = q
            fill_shared(asked.labels[q], entries.label_sets, 0, len(related), asked.class_ids, 1, related)
            fill_contents(entries, related, contents)
        count = find_codes(asked.codes[q], entries.codes, wanted, distances, codes.numbers)
        fill_keys(asked.codes[q], asked.weights[q], entries.codes, codes.numbers, count, byte_keys, codes.keys)
        sort_keys(codes.keys, codes.numbers, codes.spare_keys, codes.spare_numbers, count, counters)
        place = (entries, related, images)
        sums[q] += precisions_of_sorted(q, count, groups, asked.distance_shift, codes, contents, place)
