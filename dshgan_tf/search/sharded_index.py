"""Search many files of `HammingIndex` as if they were one: each by itself, then one order of what they found."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dshgan_tf.codes import check_codes
from dshgan_tf.errors import InputError
from dshgan_tf.search.hamming_index import HammingIndex

OPEN = 4096  # files that a process keeps mapped; Linux lets it map 65,530


class Found(NamedTuple):
    """What one file has for one query.

    Attributes:
        ids: (R,) int64.
        codes: (R, ceil(K/8)) uint8.
    """

    ids: np.ndarray
    codes: np.ndarray


class ShardedIndex:
    """Search several files that `HammingIndex.save` wrote; distances, ids and order are those of one index.

    Args:
        paths: the files; no id is in two of them. They are mapped, not read.
        client: of dask.distributed, whose workers search, a file each at a time; they see the files by the same paths.
            None searches in this process, a file after the other.

    Raises:
        InputError: no file, or codes of different lengths.

    Example:
        >>> ShardedIndex(["a.index", "b.index"]).search(codes, k=10)
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], client: Any = None) -> None:
        self.paths, self.client = [Path(path).resolve() for path in paths], client
        if not self.paths:
            raise InputError("give at least one file of an index")
        sizes = [_opened(path).num_bits for path in self.paths]
        self.num_bits = sizes[0]
        for path, num_bits in zip(self.paths, sizes, strict=True):
            if num_bits != self.num_bits:
                raise InputError(f"{path} has codes of {num_bits} bits, {self.paths[0]} of {self.num_bits}")

    def __len__(self) -> int:
        """Return the number of codes in all files."""
        return sum(len(_opened(path)) for path in self.paths)

    def search(
        self, query_codes: np.ndarray, k: int, query_relaxed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest codes of each query; see `HammingIndex.search`.

        Raises:
            InputError: as there, or an id that is in two files.
        """
        if not 1 <= k <= len(self):
            raise InputError(f"k must be between 1 and the {len(self)} codes in the files, got {k}")
        merged = self._in_all(_nearest, query_codes, k, query_relaxed)
        answers = [index.search(query_codes[i : i + 1], k, _one(query_relaxed, i)) for i, index in enumerate(merged)]
        distances = np.concatenate([np.empty((0, k), np.int32), *(distances for distances, _ in answers)])
        return distances, np.concatenate([np.empty((0, k), np.int64), *(ids for _, ids in answers)])

    def range_search(
        self, query_codes: np.ndarray, radius: int, query_relaxed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all codes within a radius of each query; see `HammingIndex.range_search`.

        Raises:
            InputError: as there, or an id that is in two files.
        """
        merged = self._in_all(_within, query_codes, radius, query_relaxed)
        answers = [
            index.range_search(query_codes[i : i + 1], radius, _one(query_relaxed, i)) for i, index in enumerate(merged)
        ]
        limits = np.cumsum([0, *(limits[-1] for limits, _, _ in answers)], dtype=np.int64)
        distances = np.concatenate([np.empty(0, np.int32), *(distances for _, distances, _ in answers)])
        return limits, distances, np.concatenate([np.empty(0, np.int64), *(ids for _, _, ids in answers)])

    def _in_all(self, run: Any, query_codes: np.ndarray, bound: int, relaxed: np.ndarray | None) -> list[HammingIndex]:
        """Return for each query an index of what all files found; it puts them into one order."""
        query_codes = check_codes(query_codes, self.num_bits, "query_codes")
        if self.client is None:
            found = [run(path, query_codes, bound, relaxed) for path in self.paths]
        else:
            tasks = [self.client.submit(run, path, query_codes, bound, relaxed, pure=False) for path in self.paths]
            found = self.client.gather(tasks)
        merged = [HammingIndex(self.num_bits) for _ in query_codes]
        for answers in found:
            for index, answer in zip(merged, answers, strict=True):
                index.add(answer.codes, answer.ids)
        return merged


def _opened(path: Path) -> HammingIndex:
    """Return a file's index; one that was saved anew is opened anew."""
    status = path.stat()
    return _mapped(path, status.st_ino, status.st_mtime_ns)


@functools.lru_cache(maxsize=OPEN)
def _mapped(path: Path, *_: int) -> HammingIndex:
    return HammingIndex.load(path, memory_map=True)


def _nearest(path: Path, query_codes: np.ndarray, k: int, relaxed: np.ndarray | None) -> list[Found]:
    """Return the k nearest of one file for each query, or all where it has fewer."""
    index = _opened(path)
    if not len(index):
        return [_found(index, np.empty(0, np.int64))] * len(query_codes)
    return [_found(index, ids) for ids in index.search(query_codes, min(k, len(index)), relaxed)[1]]


def _within(path: Path, query_codes: np.ndarray, radius: int, relaxed: np.ndarray | None) -> list[Found]:
    index = _opened(path)
    limits, _, ids = index.range_search(query_codes, radius, relaxed)
    return [_found(index, ids[start:stop]) for start, stop in zip(limits[:-1], limits[1:], strict=True)]


def _found(index: HammingIndex, ids: np.ndarray) -> Found:
    return Found(ids, index.codes[np.searchsorted(index.ids, ids)])


def _one(relaxed: np.ndarray | None, row: int) -> np.ndarray | None:
    return None if relaxed is None else relaxed[row : row + 1]
