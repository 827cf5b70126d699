"""A compiled radix sort of 64-bit keys with the numbers of what they belong to.

NumPy's argsort of such keys takes two to three times as long, and does not run without the interpreter's lock inside
a compiled loop. Numbers are 32 bits wide: 2^32 codes would need 100 GB before they are sorted. Importing this module
imports numba.
"""

from __future__ import annotations

import numpy as np

from dshgan_tf.retrieval.counting import compiled

FEW = 24  # keys for which inserting one by one is the fastest sort
WIDEST = 9  # bits of a digit at most: more counters crowd the L1 cache


@compiled
def radix_pass(
    from_keys: np.ndarray,
    from_ids: np.ndarray,
    to_keys: np.ndarray,
    to_ids: np.ndarray,
    size: int,
    shift: int,
    counters: np.ndarray,
) -> None:
    """Move ``size`` keys and ids into the order of one digit; equal digits keep theirs.

    The digit is as many bits from ``shift`` on as tell ``counters`` apart, (2**bits,) uint32, overwritten. Places and
    digits are unsigned: a signed index costs a test for counting from the end.
    """
    mask = np.uint64(len(counters) - 1)
    counters[:] = 0
    for j in range(size):
        counters[(from_keys[j] >> shift) & mask] += np.uint32(1)
    place = np.uint32(0)
    for digit in range(len(counters)):
        place, counters[digit] = place + counters[digit], place
    for j in range(size):
        key = from_keys[j]
        place = counters[(key >> shift) & mask]
        counters[(key >> shift) & mask] = place + np.uint32(1)
        to_keys[place], to_ids[place] = key, from_ids[j]


@compiled
def sort_keys(
    keys: np.ndarray, ids: np.ndarray, spare_keys: np.ndarray, spare_ids: np.ndarray, size: int, counters: np.ndarray
) -> None:
    """Sort ``size`` keys and their ids in place, equal keys in the order given.

    A radix sort, least significant digit first, over the bits in which the keys differ at all.

    Args:
        keys: (n,) uint64, n at least ``size``. Changed.
        ids: (n,) uint32. Changed.
        spare_keys: (n,) uint64, overwritten.
        spare_ids: (n,) uint32, overwritten.
        size: how many keys there are.
        counters: (2**WIDEST,) uint32, overwritten.
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
    passes = -(-(high - low) // WIDEST)
    width = -(-(high - low) // max(passes, 1))
    counters = counters[: 1 << width]
    for i in range(passes):
        shift = np.uint64(low + i * width)
        if i % 2 == 0:
            radix_pass(keys, ids, spare_keys, spare_ids, size, shift, counters)
        else:
            radix_pass(spare_keys, spare_ids, keys, ids, size, shift, counters)
    if passes % 2:
        for j in range(size):
            keys[j], ids[j] = spare_keys[j], spare_ids[j]


@compiled
def stable_order(rows: np.ndarray) -> np.ndarray:
    """Return the stable order of n columns by their rows, the last row first; (R, n) uint64 to (n,) uint32."""
    size = rows.shape[1]
    order, spare_order = np.empty(size, np.uint32), np.empty(size, np.uint32)
    keys, spare_keys = np.empty(size, np.uint64), np.empty(size, np.uint64)
    counters = np.empty(1 << WIDEST, np.uint32)
    for j in range(size):
        order[j] = j
    for row in rows:
        for j in range(size):
            keys[j] = row[order[j]]
        sort_keys(keys, order, spare_keys, spare_order, size, counters)
    return order
