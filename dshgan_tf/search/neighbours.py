"""What image files find among codes, by name; the codes lie in files or in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.search.image_index import Neighbour
from dshgan_tf.search.litert_encoder import LiteRTEncoder


class CodeIndex(Protocol):
    """What searches codes: `LargeIndex` and `PostgresIndex` do."""

    num_bits: int

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def search(self, query_codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and ids, (Q, k)."""
        ...

    def range_search(self, query_codes: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return limits, distances and ids, as in FAISS."""
        ...


def neighbours(
    index: CodeIndex,
    names: Callable[[Iterable[int]], dict[int, str]],
    encoder: LiteRTEncoder,
    images: Sequence[Path],
    k: int | None,
    radius: int | None,
) -> list[list[Neighbour]]:
    """Hash image files and search codes with them.

    Args:
        index: of the codes.
        names: gives the names of images by their ids.
        encoder: that made the codes.
        images: files.
        k: how many; None for 10, or with a radius for all.
        radius: largest distance; None for the k nearest.

    Returns:
        Neighbours of each file, nearest first.

    Raises:
        InputError: no codes, codes of another length, or a file that is no image.
    """
    if index.num_bits != encoder.sidecar()["num_bits"]:
        raise InputError(f"codes of {index.num_bits} bits are searched, and {encoder.model} makes others; give its own")
    if not len(index):
        raise InputError("there are no codes to search; put some there first")
    codes = np.stack([encoder.encode_file(path) for path in images])
    if radius is None:
        distances, ids = index.search(codes, min(k or 10, len(index)))
        found = list(zip(distances, ids, strict=True))
    else:
        limits, distances, ids = index.range_search(codes, radius)
        found = [(distances[a:b][:k], ids[a:b][:k]) for a, b in zip(limits[:-1], limits[1:], strict=True)]
    known = names(int(i) for _, some in found for i in some)

    def neighbour(distance: int, i: int) -> Neighbour:
        return Neighbour(int(i), known.get(int(i)) or f"image {i}", int(distance))

    return [[neighbour(*pair) for pair in zip(*some, strict=True)] for some in found]
