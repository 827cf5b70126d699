"""Codes in the order of their ids."""

from __future__ import annotations

import numpy as np

FEW = 256  # rows put in or taken out up to which the runs between them are moved one by one


class CodeRows:
    """Hold ids and codes in the order of the ids, in arrays with room for more.

    Rows are appended at little cost. Other rows that are put in, and rows that are taken out, move those behind them.

    Args:
        ids: (N,) int64, ascending.
        codes: (N, W) uint8, the codes of these ids.
    """

    def __init__(self, ids: np.ndarray, codes: np.ndarray) -> None:
        """Take the arrays without a copy; see the class."""
        self._size = len(ids)
        self._ids, self._codes = ids, codes

    @property
    def ids(self) -> np.ndarray:
        """The ids in use, (N,) int64, a view."""
        return self._ids[: self._size]

    @property
    def codes(self) -> np.ndarray:
        """The codes in use, (N, W) uint8, a view."""
        return self._codes[: self._size]

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the row of each id, (M,) int64; -1 for those that are not here."""
        if not self._size:
            return np.full(len(ids), -1)
        rows = np.minimum(np.searchsorted(self.ids, ids), self._size - 1)
        return np.where(self.ids[rows] == ids, rows, -1)

    def insert(self, ids: np.ndarray, codes: np.ndarray) -> None:
        """Put codes in.

        Args:
            ids: (M,) int64, unique, none of them here yet, in any order; M is at least 1.
            codes: (M, W) uint8.
        """
        if np.any(ids[1:] < ids[:-1]):
            order = np.argsort(ids)
            ids, codes = ids[order], codes[order]
        self._reserve(len(ids))
        old, new = self._size, self._size + len(ids)
        rows = np.searchsorted(self.ids, ids)
        first = rows[0]  # what lies before stays
        if first == old:
            self._ids[old:new], self._codes[old:new] = ids, codes
        elif len(ids) <= FEW:
            codes = codes.copy()  # they may be a view of the index
            bounds = [*rows.tolist(), old]
            for i in reversed(range(len(ids))):
                row = bounds[i]
                self._move(row, bounds[i + 1], i + 1)
                self._ids[row + i], self._codes[row + i] = ids[i], codes[i]
        else:
            ids = np.concatenate([self._ids[first:old], ids])
            codes = np.concatenate([self._codes[first:old], codes])
            order = np.argsort(ids, kind="stable")
            self._ids[first:new], self._codes[first:new] = ids[order], codes[order]
        self._size = new

    def delete(self, rows: np.ndarray) -> None:
        """Take rows out, (M,) int64, ascending, none twice."""
        if len(rows) <= FEW:
            bounds = [*rows.tolist(), self._size]
            for i in range(len(rows)):
                self._move(bounds[i] + 1, bounds[i + 1], -i - 1)
        else:
            kept = np.ones(self._size, bool)
            kept[rows] = False
            left = self._size - len(rows)
            self._ids[:left], self._codes[:left] = self.ids[kept], self.codes[kept]
        self._size -= len(rows)

    def _reserve(self, count: int) -> None:
        """Make room for more rows, by half at least, so that many small inserts copy each code a few times only."""
        needed = self._size + count
        if needed > len(self._ids):
            room = max(needed, len(self._ids) * 3 // 2)
            self._ids, self._codes = _in_larger(self.ids, room), _in_larger(self.codes, room)

    def _move(self, start: int, stop: int, by: int) -> None:
        """Move the rows from ``start`` to ``stop``; in one dimension NumPy needs no copy where they overlap."""
        width, codes = self._codes.shape[1], self._codes.reshape(-1)
        self._ids[start + by : stop + by] = self._ids[start:stop]
        codes[width * (start + by) : width * (stop + by)] = codes[width * start : width * stop]


def _in_larger(array: np.ndarray, size: int) -> np.ndarray:
    larger = np.empty((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
