"""Exact nearest-neighbour search over packed codes."""

from __future__ import annotations

import os

import numpy as np

from dshgan_tf.codes import check_codes, code_width
from dshgan_tf.files import atomic_path

FORMAT = "dshgan_tf.HammingIndex/1"


class HammingIndex:
    """Search packed codes by Hamming distance, exactly, with FAISS' flat binary index.

    FAISS takes whole bytes only; the zero padding bits of a packed code never differ, so any number of bits works.

    Args:
        num_bits: K, at least 1.

    Raises:
        ValueError: if ``num_bits`` is below 1.

    Example:
        >>> index = HammingIndex(num_bits=8)
        >>> index.add(np.array([[0b11110000], [0b00000001]], np.uint8))
        >>> index.search(np.array([[0]], np.uint8), k=1)
        (array([[1]], dtype=int32), array([[1]]))
    """

    def __init__(self, num_bits: int) -> None:
        """Make an empty index; see the class."""
        import faiss

        self._flat = faiss.IndexBinaryFlat(8 * code_width(num_bits))
        self.num_bits = int(num_bits)
        self._ids = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of codes in the index."""
        return len(self._ids)

    def add(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add codes.

        Args:
            codes: (N, ceil(K/8)) uint8.
            ids: (N,) integers of at least 0, unique in the whole index. None continues after the largest id so far,
                so that the ids of an index that was filled without ids are the rows' numbers.

        Raises:
            ValueError: if the codes are not codes of ``num_bits`` bits, or the ids are not N unique integers >= 0.
        """
        codes = check_codes(codes, self.num_bits)
        if ids is None:
            first = int(self._ids.max()) + 1 if len(self) else 0
            ids = np.arange(first, first + len(codes), dtype=np.int64)
        else:
            ids = self._check_ids(np.asarray(ids), len(codes))
        self._flat.add(np.ascontiguousarray(codes))
        self._ids = np.concatenate([self._ids, ids])

    def _check_ids(self, ids: np.ndarray, count: int) -> np.ndarray:
        if ids.shape != (count,) or (count and not np.issubdtype(ids.dtype, np.integer)):
            raise ValueError(f"ids must be ({count},) integers, one a code, got {ids.shape} {ids.dtype}.")
        ids = ids.astype(np.int64)
        if np.any(ids < 0):
            raise ValueError(f"ids must be at least 0, got {ids.min()}; number the codes from 0.")
        values, counts = np.unique(ids, return_counts=True)
        repeated = np.concatenate([values[counts > 1], values[np.isin(values, self._ids)]])
        if len(repeated):
            raise ValueError(f"ids must be unique in the index, got {repeated[0]} again; give every code its own id.")
        return ids

    def search(self, query_codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest codes of each query.

        A row comes in order of (distance, id). Which codes of the last distance are returned, where not all of
        them fit in k, is FAISS' choice.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            k: how many, from 1 to ``len(index)``.

        Returns:
            distances (Q, k) int32 in [0, K], and ids (Q, k) int64.

        Raises:
            ValueError: if k is out of range, or the codes are not codes of ``num_bits`` bits.
        """
        query_codes = check_codes(query_codes, self.num_bits, "query_codes")
        if not 1 <= k <= len(self):
            raise ValueError(f"k must be between 1 and the {len(self)} codes in the index, got {k}; add codes first.")
        distances, rows = self._flat.search(np.ascontiguousarray(query_codes), int(k))
        ids = self._ids[rows]
        order = np.lexsort((ids, distances), axis=1)
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(ids, order, axis=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, a NumPy archive of ``format``, ``num_bits``, ``codes`` and ``ids``.

        It is written to a temporary name in the same folder and renamed, so that a reader never sees half a file.

        Args:
            path: the file; parents are made, and an existing file is replaced.
        """
        import faiss

        codes = faiss.vector_to_array(self._flat.xb).reshape(len(self), code_width(self.num_bits))
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, format=FORMAT, num_bits=self.num_bits, codes=codes, ids=self._ids)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HammingIndex:
        """Read an index written by ``save``.

        Args:
            path: the file.

        Returns:
            An index with the same codes, ids and ``num_bits``.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file was not written by ``save``.
        """
        with open(path, "rb") as file:  # a plain open, so that a missing file is named as such
            try:
                content = dict(np.load(file, allow_pickle=False))
            except Exception as error:
                raise ValueError(f"{os.fspath(path)} is no HammingIndex file ({error}); write it with save.") from error
        if "format" not in content or str(content["format"]) != FORMAT:
            raise ValueError(f"{os.fspath(path)} is not of format {FORMAT}; write it with HammingIndex.save.")
        index = cls(int(content["num_bits"]))
        index.add(content["codes"], content["ids"])
        return index
