"""Exact nearest-neighbour search over packed codes."""

from __future__ import annotations

import os

import numpy as np

from dshgan_tf.codes import binarise, check_codes, code_width, pack
from dshgan_tf.errors import InputError
from dshgan_tf.search import scan
from dshgan_tf.search.code_rows import CodeRows
from dshgan_tf.search.collectors import MAX_BITS

MAX_ID = np.iinfo(np.int64).max


class HammingIndex:
    """Search packed codes by Hamming distance, exactly, in an order that depends on nothing but the content.

    The codes lie in the order of their ids. Adding ids above all others is cheap; other adds, and removals, move the
    codes behind them in memory. Of equal distances the smaller asymmetric distance comes first, where the relaxed
    query is given, and then the smaller id.

    Attributes:
        num_bits: K.

    Args:
        num_bits: K, from 1 to 65,535.

    Raises:
        InputError: if ``num_bits`` is out of range.

    Example:
        >>> index = HammingIndex(num_bits=8)
        >>> index.add(np.array([[0b11110000], [0b00000001]], np.uint8))
        >>> index.search(np.array([[0]], np.uint8), k=1)
        (array([[1]], dtype=int32), array([[1]]))

    Reference:
        Gordo and Perronnin, CVPR 2011, asymmetric distances for binary embeddings.
    """

    def __init__(self, num_bits: int) -> None:
        """Make an empty index; see the class."""
        width = code_width(num_bits)
        if num_bits > MAX_BITS:
            raise InputError(f"num_bits must be at most {MAX_BITS}, got {num_bits}; pass the K of the codes.")
        self.num_bits = int(num_bits)
        self._next_id = 0
        self._mapped = False
        self._rows = CodeRows(np.empty(0, np.int64), np.empty((0, width), np.uint8))

    def __len__(self) -> int:
        """Return the number of codes in the index."""
        return len(self._rows.ids)

    @property
    def ids(self) -> np.ndarray:
        """The ids, ascending, (N,) int64. A read-only view, valid until codes are added or removed."""
        return _read_only(self._rows.ids)

    @property
    def codes(self) -> np.ndarray:
        """The codes in the order of ``ids``, (N, ceil(K/8)) uint8. A read-only view, as ``ids``."""
        return _read_only(self._rows.codes)

    def add(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add codes.

        Args:
            codes: (N, ceil(K/8)) uint8.
            ids: (N,) integers of at least 0, unique in the whole index. None continues after the largest id that was
                ever in the index, so that the ids of an index that was filled without ids are the rows' numbers,
                and no id is given again.

        Raises:
            InputError: if the codes are not codes of ``num_bits`` bits, the ids are not N unique integers >= 0, or
                the index is memory-mapped.
        """
        self._check_writable()
        codes = check_codes(codes, self.num_bits)
        if ids is None:
            if len(codes) > MAX_ID - self._next_id:
                raise InputError(f"ids after {self._next_id - 1} do not fit in int64; give the ids.")
            ids = np.arange(self._next_id, self._next_id + len(codes), dtype=np.int64)
        else:
            ids = self._check_ids(np.asarray(ids), len(codes))
        if not len(ids):
            return
        self._rows.insert(ids, codes)
        self._next_id = max(self._next_id, int(self._rows.ids[-1]) + 1)

    def _check_writable(self) -> None:
        if self._mapped:
            raise InputError("a memory-mapped index cannot be changed; load it with memory_map=False.")

    def _check_ids(self, ids: np.ndarray, count: int) -> np.ndarray:
        if ids.shape != (count,) or (count and not np.issubdtype(ids.dtype, np.integer)):
            raise InputError(f"ids must be ({count},) integers, one a code, got {ids.shape} {ids.dtype}.")
        if np.any(ids < 0):
            raise InputError(f"ids must be at least 0, got {ids.min()}; number the codes from 0.")
        if np.any(ids > MAX_ID):
            raise InputError(f"ids must be at most {MAX_ID}, got {ids.max()}; number the codes from 0.")
        ids = ids.astype(np.int64)
        ordered = np.sort(ids)
        repeated = np.concatenate([ordered[1:][ordered[1:] == ordered[:-1]], ids[self._rows.find(ids) >= 0]])
        if len(repeated):
            raise InputError(f"ids must be unique in the index, got {repeated[0]} again; give every code its own id.")
        return ids

    def remove(self, ids: np.ndarray) -> None:
        """Remove codes.

        Args:
            ids: (M,) integers, each in the index and none twice.

        Raises:
            InputError: if an id is not in the index or given twice (nothing is removed then), or the index is
                memory-mapped.
        """
        self._check_writable()
        ids = np.asarray(ids)
        if ids.ndim != 1 or (len(ids) and not np.issubdtype(ids.dtype, np.integer)):
            raise InputError(f"ids must be (M,) integers, got {ids.shape} {ids.dtype}; pass a list for one id.")
        rows = self._rows.find(ids)
        if np.any(rows < 0):
            raise InputError(f"ids must be in the index, got {ids[rows < 0][0]}, which is not.")
        rows = np.sort(rows)
        repeated = rows[1:][rows[1:] == rows[:-1]]
        if len(repeated):
            raise InputError(f"ids must be given once, got {self.ids[repeated[0]]} again.")
        self._rows.delete(rows)

    def search(
        self, query_codes: np.ndarray, k: int, query_relaxed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest codes of each query.

        A row is ordered by (distance, id), or with ``query_relaxed`` by (distance, asymmetric distance, id), and
        holds the first k codes of that order. The asymmetric distance of the relaxed query code h to bits b is
        ||h - b||^2. It tells apart codes that differ from the query in equally many bits, by how sure those are.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            k: how many, from 1 to ``len(index)``.
            query_relaxed: (Q, K) float, in [0, 1], the relaxed codes of the queries; None orders by id alone.

        Returns:
            distances (Q, k) int32 in [0, K], and ids (Q, k) int64.

        Raises:
            InputError: if k is out of range, the codes are not codes of ``num_bits`` bits, or the relaxed codes are
                not those of the query codes.
        """
        query_codes, query_relaxed = self._check_queries(query_codes, query_relaxed)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= len(self):
            raise InputError(f"k must be between 1 and the {len(self)} codes in the index, got {k}; add codes first.")
        distances, rows = scan.nearest(self._rows.codes, query_codes, int(k), query_relaxed)
        return distances, self._rows.ids[rows]

    def range_search(
        self, query_codes: np.ndarray, radius: int, query_relaxed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all codes within a Hamming radius of each query, in the order of ``search``.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            radius: largest distance, from 0 to K.
            query_relaxed: (Q, K) float, in [0, 1], as for ``search``.

        Returns:
            limits (Q+1,) int64, distances (R,) int32 and ids (R,) int64. What query i found is at
            ``limits[i]:limits[i + 1]``, as in FAISS.

        Raises:
            InputError: if the radius is out of range, or the queries are wrong as for ``search``.

        Example:
            >>> index = HammingIndex(num_bits=8)
            >>> index.add(np.array([[0b11110000], [0b00000001]], np.uint8))
            >>> limits, distances, ids = index.range_search(np.array([[0], [255]], np.uint8), radius=4)
            >>> [ids[start:stop].tolist() for start, stop in zip(limits[:-1], limits[1:])]
            [[1, 0], [0]]
        """
        query_codes, query_relaxed = self._check_queries(query_codes, query_relaxed)
        if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or not 0 <= radius <= self.num_bits:
            raise InputError(f"radius must be an integer between 0 and num_bits={self.num_bits}, got {radius}.")
        found = scan.within(self._rows.codes, query_codes, int(radius), query_relaxed)
        limits = np.cumsum([0, *(len(rows) for _, rows in found)], dtype=np.int64)
        distances = np.concatenate([np.empty(0, np.int32), *(distances for distances, _ in found)])
        rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows in found)])
        return limits, distances, self._rows.ids[rows]

    def _check_queries(
        self, query_codes: np.ndarray, query_relaxed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        query_codes = np.ascontiguousarray(check_codes(query_codes, self.num_bits, "query_codes"))
        if query_relaxed is None:
            return query_codes, None
        query_relaxed = np.asarray(query_relaxed)
        if query_relaxed.shape != (len(query_codes), self.num_bits):
            raise InputError(
                f"query_relaxed must have shape {(len(query_codes), self.num_bits)}, got {query_relaxed.shape}; "
                "pass the relaxed codes of the query codes."
            )
        different = np.any(pack(binarise(query_relaxed)) != query_codes, axis=1)
        if np.any(different):
            raise InputError(
                f"query_relaxed must have the bits of query_codes, got others in row {np.argmax(different)}; "
                "pack the bits that are above 0.5."
            )
        return query_codes, query_relaxed

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, as ``dshgan_tf.search.index_file`` describes.

        It is written to a temporary name in the same folder and renamed, so that a reader never sees half a file,
        and an index that is mapped from the old file keeps that.

        Args:
            path: the file; parents are made, and an existing file is replaced.
        """
        from dshgan_tf.files import atomic_path
        from dshgan_tf.search import index_file

        content = index_file.Content(self.num_bits, self._next_id, self.ids, self.codes)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            index_file.write(file, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], memory_map: bool | None = False) -> HammingIndex:
        """Read an index written by ``save``, and check all of it.

        A memory-mapped index leaves codes and ids on disk, and a search reads them from there in blocks. It cannot
        be changed, and its file must not be overwritten in place (``save`` does not).

        Args:
            path: the file.
            memory_map: True to map the file, False to read it. None maps a file that is larger than a quarter of
                the free memory: what Linux calls available, within the limit of the container.

        Returns:
            An index with the same codes, ids and ``num_bits``, that gives the same ids to further codes.

        Raises:
            FileNotFoundError: if there is no such file.
            InputError: if the file was not written by ``save``, or is damaged.
        """
        from dshgan_tf.search import index_file

        content, mapped = index_file.read(path, memory_map)
        index = cls(content.num_bits)
        index._next_id, index._mapped = content.next_id, mapped
        index._rows = CodeRows(content.ids, content.codes)
        return index


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False  # of this view alone
    return array
