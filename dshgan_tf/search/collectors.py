"""Keep what a scan finds: all rows within a radius, or the k nearest.

A candidate is one int64 key, distance * 2^47 + row: keys sort by distance, then by row.
"""

from __future__ import annotations

import numpy as np

from dshgan_tf.search.asymmetric_distances import AsymmetricDistances

MAX_BITS = 65535  # of a code, so that a distance fits into 16 bits
ROW_BITS = 47  # of a key; the distance has the 16 bits above them
ROW_MASK = (1 << ROW_BITS) - 1


class Within:
    """Collect the rows within a radius.

    Args:
        radius: at least 0.
        asymmetric: orders the rows of one distance; None leaves them in order.
    """

    def __init__(self, radius: int, asymmetric: AsymmetricDistances | None = None) -> None:
        """Start with no rows; see the class."""
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

    def __init__(self, k: int, limit: int, asymmetric: AsymmetricDistances | None = None) -> None:
        """Start with no rows; see the class."""
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
