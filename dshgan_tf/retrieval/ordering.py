"""Compiled inner loops that order equally near codes by the asymmetric distance and add up the precisions.

See `asymmetric` for what is computed. Like those of `counting` the loops release the interpreter's lock and run over
ranges of queries. Importing this module imports numba.

Keys are fixed-point numbers in 64 bits, so a sum of weights is exact in any order of its terms, and equal means equal.
"""

from __future__ import annotations

import numpy as np

from dshgan_tf.retrieval.counting import TILE, compiled, fill_distances, fill_shared
from dshgan_tf.retrieval.radix import WIDEST, sort_keys
from dshgan_tf.retrieval.ranking import SERIES_FROM

HARMONIC = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, SERIES_FROM + 1))])  # a constant in compiled code


@compiled
def harmonic_difference(start: int, stop: int) -> float:
    """Sum 1/i over start < i <= stop; ``ranking.harmonic_difference`` for two numbers, several times as fast.

    The series is ln m + 1/24m^2 - 7/960m^4 with m = n + 1/2, and ln(b/a) = 2 artanh((b - a)/(b + a)).
    """
    total = 0.0
    if start < SERIES_FROM:
        total = HARMONIC[min(stop, SERIES_FROM)] - HARMONIC[start]
        if stop <= SERIES_FROM:
            return total
        start = SERIES_FROM
    a, b = start + 0.5, stop + 0.5
    z = (b - a) / (b + a)
    if z < 1 / 16:
        y = z * z
        total += 2 * z * (1 + y * (1 / 3 + y * (1 / 5 + y * (1 / 7 + y * (1 / 9 + y * (1 / 11))))))
    else:
        total += np.log(b / a)
    a, b = a * a, b * b
    inverse = 1 / (a * b)
    return total + (a - b) * inverse * (1 / 24 - 7 / 960 * (a + b) * inverse)


@compiled
def expected_precisions(seen: int, hits: int, size: int, relevant: int) -> float:
    """Expect the sum of the precisions at the relevant ranks of one tie group, over all its orders.

    Args:
        seen: codes before the group.
        hits: relevant ones among them.
        size: codes in the group, at least 1.
        relevant: relevant ones among them.

    Returns:
        The closed form of ``dshgan_tf.retrieval.ranking``, with one division instead of three.
    """
    if relevant == 0:
        return 0.0
    others = max(size - 1.0, 1.0)
    level = (hits + 1.0) * others - (relevant - 1.0) * (seen + 1.0)
    return relevant / (size * others) * (size * (relevant - 1.0) + level * harmonic_difference(seen, seen + size))


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


@compiled
def fill_contents(
    starts: np.ndarray,
    values: np.ndarray,
    label_numbers: np.ndarray,
    related: np.ndarray,
    by_position: bool,
    contents: np.ndarray,
) -> None:
    """Write the numbers of images and of related images of each code to ``contents`` (D, 2) int64."""
    for code in range(len(contents)):
        size, relevant = 0, 0
        for entry in range(starts[code], starts[code + 1]):
            images = 1 if by_position else values[entry]
            size += images
            relevant += images * related[label_numbers[entry]]
        contents[code, 0], contents[code, 1] = size, relevant


@compiled
def precision_range(
    order: np.ndarray,
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    weights: np.ndarray,
    sizes: np.ndarray,
    relevants: np.ndarray,
    seen_before: np.ndarray,
    hits_before: np.ndarray,
    sums: np.ndarray,
    words: np.ndarray,
    starts: np.ndarray,
    values: np.ndarray,
    label_numbers: np.ndarray,
    label_sets: np.ndarray,
    class_ids: bool,
    by_position: bool,
    distance_shift: int,
) -> None:
    """Add up the precisions at the relevant ranks of some queries, Hamming distance first, keys second.

    A group of equal Hamming distance whose codes are all relevant needs no order; one without a relevant code
    adds nothing. Only the distinct codes of the other groups are sorted.

    Args:
        order: (q,) int64, which queries; those of equal labels one after the other.
        query_codes: (Q, words) uint64, the codes of all queries.
        query_labels: (Q, label words) uint64.
        weights: (Q, 64 words) uint64, what each differing bit adds to a key.
        sizes: (Q, K+1) int64, codes by Hamming distance.
        relevants: (Q, K+1) int64, relevant ones among them.
        seen_before: (Q, K+1) int64, codes at smaller distances.
        hits_before: (Q, K+1) int64, relevant ones among them.
        sums: (Q,) float64, overwritten at the places in ``order``.
        words: (words, D) uint64, the database's distinct codes.
        starts: (D+1,) int64, where the entries of each code start.
        values: (M,) int64, of each entry: an image's position, ascending within a code, or a number of images.
        label_numbers: (M,) int64, number of each entry's label set.
        label_sets: (label words, U) uint64.
        class_ids: whether labels are class ids or sets.
        by_position: whether entries are images, tied ones in database order, or counts.
        distance_shift: where the Hamming distance starts in a key.
    """
    num_distances, num_codes = sizes.shape[1], words.shape[1]
    wanted, distances = np.zeros(num_distances, np.uint8), np.empty(TILE, np.uint32)
    related, related_to = np.empty(label_sets.shape[1], np.uint32), -1
    contents = np.empty((num_codes, 2), np.int64)
    ends = starts[1:]
    byte_keys, counters = np.empty((8, 256), np.uint64), np.empty(1 << WIDEST, np.uint32)
    keys, spare_keys = np.empty(num_codes, np.uint64), np.empty(num_codes, np.uint64)
    found, spare_found = np.empty(num_codes, np.uint32), np.empty(num_codes, np.uint32)
    num_tied = len(values) if by_position else 0
    positions, spare_positions = np.empty(num_tied, np.uint64), np.empty(num_tied, np.uint64)
    tied, spare_tied = np.empty(num_tied, np.uint32), np.empty(num_tied, np.uint32)
    for q in order:
        total, any_wanted = 0.0, False
        for d in range(num_distances):
            one_code = (d == 0 or d == num_distances - 1) and not by_position
            wanted[d] = 0 < relevants[q, d] < sizes[q, d] and not one_code
            any_wanted |= wanted[d] > 0
            if not wanted[d]:
                total += expected_precisions(seen_before[q, d], hits_before[q, d], sizes[q, d], relevants[q, d])
        sums[q] = total
        if not any_wanted:
            continue
        same_labels = related_to >= 0
        for w in range(query_labels.shape[1]):
            same_labels = same_labels and query_labels[q, w] == query_labels[related_to, w]
        if not same_labels:
            related_to = q
            fill_shared(query_labels[q], label_sets, 0, len(related), class_ids, 1, related)
            fill_contents(starts, values, label_numbers, related, by_position, contents)
        count = find_codes(query_codes[q], words, wanted, distances, found)
        fill_keys(query_codes[q], weights[q], words, found, count, byte_keys, keys)
        sort_keys(keys, found, spare_keys, spare_found, count, counters)
        last, seen, hits, stop = -1, 0, 0, 0
        while stop < count:
            start, key = stop, keys[stop]
            size, relevant = 0, 0
            while stop < count and keys[stop] == key:
                size, relevant = size + contents[found[stop], 0], relevant + contents[found[stop], 1]
                stop += 1
            d = np.int64(key >> np.uint64(distance_shift))
            if d != last:
                last, seen, hits = d, seen_before[q, d], hits_before[q, d]
            if not by_position or relevant == 0 or relevant == size:
                total += expected_precisions(seen, hits, size, relevant)
                seen, hits = seen + size, hits + relevant
                continue
            size = 0
            for j in range(start, stop):
                for entry in range(starts[found[j]], ends[found[j]]):
                    positions[size], tied[size] = values[entry], label_numbers[entry]
                    size += 1
            if stop - start > 1:
                sort_keys(positions, tied, spare_positions, spare_tied, size, counters)
            for j in range(size):
                seen += 1
                if related[tied[j]]:
                    hits += 1
                    total += hits / seen
        sums[q] = total
