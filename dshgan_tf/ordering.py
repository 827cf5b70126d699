"""Compiled inner loops that order equally near codes by the asymmetric distance and add up the precisions.

See ``dshgan_tf.asymmetric`` for what is computed. Like those of ``dshgan_tf.counting`` the loops release the
interpreter's lock and run over ranges of queries; importing this module imports numba.

Keys are fixed-point numbers in 64 bits, so a sum of weights is exact in any order of its terms, and equal means equal.
"""

from __future__ import annotations

import numpy as np

from dshgan_tf.counting import TILE, compiled, fill_distances, fill_shared
from dshgan_tf.ranking import SERIES_FROM

HARMONIC = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, SERIES_FROM + 1))])  # a constant in compiled code
FEW = 24  # keys for which inserting one by one is the fastest sort
WIDEST = 10  # bits of a radix sort's digit: more counters than 1,024 do not fit the L1 cache with their data


@compiled
def sort_keys(
    keys: np.ndarray, ids: np.ndarray, spare_keys: np.ndarray, spare_ids: np.ndarray, size: int, counters: np.ndarray
) -> None:
    """Sort ``size`` keys and their ids in place, equal keys in the order given.

    A radix sort, least significant digit first, over the bits in which the keys differ at all.

    Args:
        keys: (n,) uint64, n at least ``size``. Changed.
        ids: (n,) integers. Changed.
        spare_keys: (n,) uint64, overwritten.
        spare_ids: (n,) like ``ids``, overwritten.
        size: how many keys there are.
        counters: (2**WIDEST,) int64, overwritten.
    """
    if size <= FEW:
        for j in range(1, size):
            key, number = keys[j], ids[j]
            i = j
            while i > 0 and keys[i - 1] > key:
                keys[i], ids[i] = keys[i - 1], ids[i - 1]
                i -= 1
            keys[i], ids[i] = key, number
        return
    differing = np.uint64(0)
    for j in range(size):
        differing |= keys[j] ^ keys[0]
    low, high = 0, 64
    while high > 0 and not differing >> np.uint64(high - 1):
        high -= 1
    while low < high and not (differing >> np.uint64(low)) & np.uint64(1):
        low += 1
    width, cost = 1, 64 * (size + 2)
    for candidate in range(2, WIDEST + 1):
        passes = -(-(high - low) // candidate)
        if passes * (size + (1 << candidate)) < cost:
            width, cost = candidate, passes * (size + (1 << candidate))
    mask = np.uint64((1 << width) - 1)
    from_keys, from_ids, to_keys, to_ids = keys, ids, spare_keys, spare_ids
    moved = False
    while low < high:
        shift = np.uint64(low)
        low += width
        if not (differing >> shift) & mask:
            continue
        counters[: 1 << width] = 0
        for j in range(size):
            counters[np.int64((from_keys[j] >> shift) & mask)] += 1
        place = 0
        for digit in range(1 << width):
            place, counters[digit] = place + counters[digit], place
        for j in range(size):
            digit = np.int64((from_keys[j] >> shift) & mask)
            to_keys[counters[digit]], to_ids[counters[digit]] = from_keys[j], from_ids[j]
            counters[digit] += 1
        from_keys, from_ids, to_keys, to_ids = to_keys, to_ids, from_keys, from_ids
        moved = not moved
    if moved:
        keys[:size] = spare_keys[:size]
        ids[:size] = spare_ids[:size]


@compiled
def stable_order(rows: np.ndarray) -> np.ndarray:
    """Return the stable order of n columns by their rows, the last row first; (R, n) uint64 to (n,) int64."""
    size = rows.shape[1]
    order, spare_order = np.arange(size), np.empty(size, np.int64)
    keys, spare_keys = np.empty(size, np.uint64), np.empty(size, np.uint64)
    counters = np.empty(1 << WIDEST, np.int64)
    for row in rows:
        for j in range(size):
            keys[j] = row[order[j]]
        sort_keys(keys, order, spare_keys, spare_order, size, counters)
    return order


@compiled
def harmonic_difference(start: int, stop: int) -> float:
    """Sum 1/i over start < i <= stop; ``ranking.harmonic_difference`` for two numbers."""
    total = HARMONIC[min(stop, SERIES_FROM)] - HARMONIC[min(start, SERIES_FROM)]
    start = max(start, SERIES_FROM)
    if stop - start <= 4:
        for i in range(start + 1, stop + 1):
            total += 1.0 / i
        return total
    a, b = float(start), float(stop)
    total += np.log1p((b - a) / a) + (1 / b - 1 / a) / 2
    return total - (1 / b**2 - 1 / a**2) / 12 + (1 / b**4 - 1 / a**4) / 120


@compiled
def expected_precisions(seen: int, hits: int, size: int, relevant: int) -> float:
    """Expect the sum of the precisions at the relevant ranks of one tie group, over all its orders.

    Args:
        seen: codes before the group.
        hits: relevant ones among them.
        size: codes in the group, at least 1.
        relevant: relevant ones among them.

    Returns:
        The closed form of ``dshgan_tf.ranking``.
    """
    if relevant == 0:
        return 0.0
    slope = (relevant - 1) / max(size - 1, 1)
    level = hits + 1 - slope * (seen + 1)
    return relevant / size * (size * slope + level * harmonic_difference(seen, seen + size))


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
def fill_byte_keys(query: np.ndarray, weights: np.ndarray, byte_keys: np.ndarray) -> None:
    """Write what each value of each byte of a code adds to its key: the weights of the bits that differ.

    Args:
        query: (bytes,) uint8, the query's code, most significant bit first.
        weights: (K,) uint64, what each bit adds where it differs.
        byte_keys: (ceil(K/8), 256) uint64, overwritten.
    """
    for place in range(len(byte_keys)):
        row = byte_keys[place]
        row[query[place]] = 0
        for bit in range(8):  # from the least significant on: the patterns below 2**bit are done
            number = 8 * place + 7 - bit
            weight = weights[number] if number < len(weights) else np.uint64(0)
            for pattern in range(1 << bit):
                row[(pattern | (1 << bit)) ^ query[place]] = row[pattern ^ query[place]] + weight


@compiled
def precision_range(
    query_words: np.ndarray,
    query_bytes: np.ndarray,
    query_labels: np.ndarray,
    weights: np.ndarray,
    sizes: np.ndarray,
    relevants: np.ndarray,
    seen_before: np.ndarray,
    hits_before: np.ndarray,
    sums: np.ndarray,
    code_words: np.ndarray,
    code_bytes: np.ndarray,
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
        query_words: (Q, words) uint64.
        query_bytes: (Q, 8 words) uint8, the same codes.
        query_labels: (Q, label words) uint64.
        weights: (Q, K) uint64, what each differing bit adds to a key.
        sizes: (Q, K+1) int64, codes by Hamming distance.
        relevants: (Q, K+1) int64, relevant ones among them.
        seen_before: (Q, K+1) int64, codes at smaller distances.
        hits_before: (Q, K+1) int64, relevant ones among them.
        sums: (Q,) float64, overwritten.
        code_words: (words, D) uint64, the database's distinct codes.
        code_bytes: (D, 8 words) uint8, the same.
        starts: (D+1,) int64, where the entries of each code start.
        values: (M,) int64, of each entry: an image's position, ascending within a code, or a number of images.
        label_numbers: (M,) int64, number of each entry's label set.
        label_sets: (label words, U) uint64.
        class_ids: whether labels are class ids or sets.
        by_position: whether entries are images, tied ones in database order, or counts.
        distance_shift: where the Hamming distance starts in a key.
    """
    num_bits, num_codes = weights.shape[1], code_words.shape[1]
    shift = np.uint64(distance_shift)
    wanted, distances = np.zeros(num_bits + 1, np.uint8), np.empty(TILE, np.uint32)
    related = np.empty(label_sets.shape[1], np.uint32)
    byte_keys, counters = np.empty((-(-num_bits // 8), 256), np.uint64), np.empty(1 << WIDEST, np.int64)
    keys, spare_keys = np.empty(num_codes, np.uint64), np.empty(num_codes, np.uint64)
    found, spare_found = np.empty(num_codes, np.int64), np.empty(num_codes, np.int64)
    num_tied = len(values) if by_position else 0
    positions, spare_positions = np.empty(num_tied, np.uint64), np.empty(num_tied, np.uint64)
    tied, spare_tied = np.empty(num_tied, np.int64), np.empty(num_tied, np.int64)
    for q in range(len(query_words)):
        total, any_wanted = 0.0, False
        for d in range(num_bits + 1):
            one_code = (d == 0 or d == num_bits) and not by_position
            wanted[d] = 0 < relevants[q, d] < sizes[q, d] and not one_code
            any_wanted |= wanted[d] > 0
            if not wanted[d]:
                total += expected_precisions(seen_before[q, d], hits_before[q, d], sizes[q, d], relevants[q, d])
        sums[q] = total
        if not any_wanted:
            continue
        fill_shared(query_labels[q], label_sets, 0, len(related), class_ids, 1, related)
        fill_byte_keys(query_bytes[q], weights[q], byte_keys)
        count = find_codes(query_words[q], code_words, wanted, distances, found)
        for j in range(count):
            key, code = np.uint64(0), found[j]
            for place in range(len(byte_keys)):
                key += byte_keys[place, code_bytes[code, place]]
            keys[j] = key
        sort_keys(keys, found, spare_keys, spare_found, count, counters)
        last, seen, hits, stop = -1, 0, 0, 0
        while stop < count:
            start, key = stop, keys[stop]
            while stop < count and keys[stop] == key:
                stop += 1
            d = np.int64(key >> shift)
            if d != last:
                last, seen, hits = d, seen_before[q, d], hits_before[q, d]
            if not by_position:
                size, relevant = 0, 0
                for j in range(start, stop):
                    for entry in range(starts[found[j]], starts[found[j] + 1]):
                        size += values[entry]
                        relevant += values[entry] * related[label_numbers[entry]]
                total += expected_precisions(seen, hits, size, relevant)
                seen, hits = seen + size, hits + relevant
                continue
            size = 0
            for j in range(start, stop):
                for entry in range(starts[found[j]], starts[found[j] + 1]):
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
