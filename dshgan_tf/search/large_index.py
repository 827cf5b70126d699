"""Millions of codes in files that are mapped, not read. Learnt codes repeat, so each is searched once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, get_args

import faiss
import numpy as np

from dshgan_tf.codes import check_codes
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_folder, write_json
from dshgan_tf.search.distinct_codes import Distinct, distinct_codes

Kind = Literal["flat", "inverted", "multi-hash"]
ABOUT, CODES, STARTS, IDS = "about.json", "codes.faiss", "starts.npy", "ids.npy"
FLAT = 2_000_000  # distinct codes up to which looking at all of them takes a few milliseconds
VISITED = 32  # lists of an inverted index that a search looks into
LEARN_FROM = 64  # codes a list that its centres are learnt from
HASHED = 16  # bits that a table of multi-hash is addressed by
FLIPPED = 1  # of these bits differ at most where multi-hash looks


class LargeIndex:
    """Search a folder that `build_large_index` wrote. It is mapped into memory, and cannot be changed.

    Distances are exact. Of the kinds "flat" and "multi-hash" answers and order are those of `HammingIndex` without
    relaxed codes. "inverted" may miss near codes; its `range_search` is exact.

    Attributes:
        num_bits: K.
        kind: "flat", "inverted" or "multi-hash".
        distinct: different codes in it.

    Args:
        folder: of the index.

    Raises:
        InputError: it is no such folder.

    Example:
        >>> build_large_index("photos.large", codes, ids, num_bits=64)
        >>> LargeIndex("photos.large").search(query_codes, k=10)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        try:
            about = json.loads((folder / ABOUT).read_text())
            self.num_bits, self.kind = int(about["num_bits"]), about["kind"]
            self._starts, self._ids = (np.load(folder / name, mmap_mode="r") for name in (STARTS, IDS))
            self._near = faiss.read_index_binary(str(folder / CODES), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, EOFError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(f"{folder} is no index of build_large_index ({error}); build it again") from error
        self._all = _every_code(self._near, folder / CODES)
        self._reach = _reach(self._near, self.num_bits)
        self.distinct = int(self._near.ntotal)
        if self.distinct + 1 != len(self._starts) or self._starts[-1] != len(self._ids):
            raise InputError(f"{folder} is damaged; build it again")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._ids)

    def search(self, query_codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images of each query, by (distance, id).

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            k: how many, from 1 to ``len(index)``.

        Returns:
            distances (Q, k) int32 in [0, K], and ids (Q, k) int64.

        Raises:
            InputError: k out of range, or codes that are not of K bits.
        """
        query_codes = np.ascontiguousarray(check_codes(query_codes, self.num_bits, "query_codes"))
        if not 1 <= k <= len(self):
            raise InputError(f"k must be between 1 and the {len(self)} images in the index, got {k}")
        count = min(2 * k + 32, self.distinct)  # so many that mostly no tie at the distance of place k is cut
        near, rows = self._near.search(query_codes, count)
        distances, ids = np.empty((len(query_codes), k), np.int32), np.empty((len(query_codes), k), np.int64)
        for i, query in enumerate(query_codes):
            found = self._with_ties(query, near[i][rows[i] >= 0], rows[i][rows[i] >= 0], k)
            distances[i], ids[i] = (column[:k] for column in self._images(*found, k))
        return distances, ids

    def range_search(self, query_codes: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all images within a Hamming radius of each query, exactly, in the order of `search`.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            radius: largest distance, from 0 to K.

        Returns:
            limits (Q+1,) int64, distances (R,) int32 and ids (R,) int64, as of `HammingIndex.range_search`.

        Raises:
            InputError: the radius is out of range, or the codes are not of K bits.
        """
        query_codes = np.ascontiguousarray(check_codes(query_codes, self.num_bits, "query_codes"))
        if not 0 <= radius <= self.num_bits:
            raise InputError(f"radius must be between 0 and num_bits={self.num_bits}, got {radius}")
        found = [self._images(*self._within(query, radius), len(self)) for query in query_codes]
        limits = np.cumsum([0, *(len(ids) for _, ids in found)], dtype=np.int64)
        distances = np.concatenate([np.empty(0, np.int32), *(distances for distances, _ in found)])
        return limits, distances, np.concatenate([np.empty(0, np.int64), *(ids for _, ids in found)])

    def _with_ties(self, query: np.ndarray, near: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
        """Return distances and rows of the codes that hold the k nearest images, all of equal distance among them."""
        certain = self.kind != "inverted"
        if self._images_of(rows).sum() < k or self._farthest(near, rows, k) > self._reach:
            (near,), (rows,) = self._all.search(query[None], min(2 * k + 32, self.distinct))
            certain = True
        last = self._farthest(near, rows, k)
        if certain and last == near[-1] and len(rows) < self.distinct:
            return self._within(query, last)
        return near[near <= last], rows[near <= last]

    def _farthest(self, near: np.ndarray, rows: np.ndarray, k: int) -> int:
        """Return the distance of the k-th image."""
        return int(near[np.searchsorted(np.cumsum(self._images_of(rows)), k)])

    def _within(self, query: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
        """Return distances and rows of all codes within a radius."""
        _, distances, rows = self._all.range_search(query[None], radius + 1)  # FAISS leaves the radius itself out
        return distances.astype(np.int32), rows

    def _images_of(self, rows: np.ndarray) -> np.ndarray:
        """Return how many images have each code."""
        return self._starts[rows + 1] - self._starts[rows]

    def _images(self, distances: np.ndarray, rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return distance and id of the images of some codes, by (distance, id); ``most`` of one code."""
        counts = np.minimum(self._images_of(rows), most)
        ids = np.concatenate([np.empty(0, np.int64), *map(self._first_ids, rows, counts)])
        distances = np.repeat(distances, counts).astype(np.int32)
        order = np.lexsort((ids, distances))
        return distances[order], ids[order]

    def _first_ids(self, row: int, count: int) -> np.ndarray:
        return self._ids[self._starts[row] : self._starts[row] + count]


def _every_code(near: Any, path: Path) -> Any:
    """Return what looks at every code of an index; `near` must live as long."""
    if isinstance(near, faiss.IndexBinaryMultiHash):
        return near.storage
    if not isinstance(near, faiss.IndexBinaryIVF):
        return near
    every = faiss.read_index_binary(str(path), faiss.IO_FLAG_MMAP_IFC)  # mapped, so it takes no memory of its own
    every.nprobe = every.nlist
    return every


def _reach(near: Any, num_bits: int) -> int:
    """Return the distance up to which an index misses nothing.

    Multi-hash finds a code when one of its tables differs in no more bits than are flipped. If all T tables differed in
    F + 1 bits and more, the codes would differ in T (F + 1) bits.
    """
    if isinstance(near, faiss.IndexBinaryMultiHash):
        return int(near.nhash * (near.nflip + 1) - 1)
    return num_bits


def build_large_index(
    folder: str | os.PathLike[str], codes: np.ndarray, ids: np.ndarray, num_bits: int, kind: Kind | None = None
) -> None:
    """Write an index for `LargeIndex`.

    It needs about 40 bytes of memory an image beyond codes and ids.

    Args:
        folder: that does not exist yet.
        codes: (N, ceil(K/8)) uint8; N is at least 1.
        ids: (N,) integers, none twice.
        num_bits: K.
        kind: "flat" looks at every distinct code. "inverted" looks into the lists of the nearest of many centres.
            "multi-hash" looks for codes of which 16 bits are as the query's, but for one, and at every code where the
            k nearest lie farther than that finds for certain: 7 bits of 64. None takes flat up to 2,000,000 distinct
            codes, then inverted.

    Raises:
        InputError: nothing to index, codes and ids that do not fit each other, or an unknown kind.
    """
    if Path(folder).exists():
        raise InputError(f"{folder} is there already; remove it, or give another folder")
    codes, ids = check_codes(codes, num_bits), np.asarray(ids)
    if not len(codes):
        raise InputError("there are no codes to index; give one at least")
    if ids.shape != (len(codes),) or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"ids must be integers, one a code, got {ids.shape} {ids.dtype} for {len(codes)} codes")
    if len(np.unique(ids)) != len(ids):
        raise InputError("an id is there twice; give each code its own")
    if kind not in (None, *get_args(Kind)):
        raise InputError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    distinct = distinct_codes(codes, ids.astype(np.int64))
    kind = kind or ("flat" if len(distinct.codes) <= FLAT else "inverted")
    with atomic_folder(folder) as temporary:
        temporary.mkdir()
        _write(temporary, distinct, num_bits, kind)


def _write(folder: Path, distinct: Distinct, num_bits: int, kind: Kind) -> None:
    np.save(folder / STARTS, distinct.starts)
    np.save(folder / IDS, distinct.ids)
    faiss.write_index_binary(_filled(distinct.codes, kind), str(folder / CODES))
    about = {"num_bits": int(num_bits), "kind": kind, "images": len(distinct.ids), "distinct": len(distinct.codes)}
    write_json(folder / ABOUT, about)


def _filled(codes: np.ndarray, kind: Kind) -> Any:
    """Return FAISS' index of distinct codes."""
    bits, lists = 8 * codes.shape[1], max(1, int(np.sqrt(len(codes))))
    hashed = min(HASHED, bits)
    named = {"flat": "BFlat", "inverted": f"BIVF{lists}", "multi-hash": f"BHash{bits // hashed}x{hashed}"}
    index = faiss.index_binary_factory(bits, named[kind])
    if kind == "inverted":
        index.nprobe = VISITED
        index.cp.min_points_per_centroid = 1  # FAISS warns of fewer than 39
        some = np.random.default_rng(0).choice(len(codes), min(len(codes), LEARN_FROM * lists), replace=False)
        index.train(codes[np.sort(some)])
    if kind == "multi-hash":
        index.nflip = FLIPPED
    index.add(codes)
    return index
