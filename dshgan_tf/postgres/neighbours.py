"""What image files find in a database, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.postgres.postgres_index import PostgresIndex
from dshgan_tf.search.image_index import Neighbour
from dshgan_tf.search.litert_encoder import LiteRTEncoder


def neighbours(
    connection: Any, table: str, encoder: LiteRTEncoder, images: Sequence[Path], k: int | None, radius: int | None
) -> list[list[Neighbour]]:
    """Hash image files and search a table with them.

    Args:
        connection: as in `PostgresIndex`.
        table: as in `PostgresIndex`.
        encoder: that made the table's codes.
        images: files.
        k: how many; None for 10, or with a radius for all.
        radius: largest distance; None for the k nearest.

    Returns:
        Neighbours of each file, nearest first.

    Raises:
        InputError: no such table, an empty one, one of codes of another length, or a file that is no image.
    """
    index = PostgresIndex(connection, table)
    if index.num_bits != encoder.sidecar()["num_bits"]:
        raise InputError(f"table {table!r} holds codes of {index.num_bits} bits, and {encoder.model} makes others")
    if not len(index):
        raise InputError(f"table {table!r} holds no images; load some into it")
    codes = np.stack([encoder.encode_file(path) for path in images])
    if radius is None:
        distances, ids = index.search(codes, min(k or 10, len(index)))
        found = list(zip(distances, ids, strict=True))
    else:
        limits, distances, ids = index.range_search(codes, radius)
        found = [(distances[a:b][:k], ids[a:b][:k]) for a, b in zip(limits[:-1], limits[1:], strict=True)]
    paths = index.paths(int(i) for _, some in found for i in some)

    def neighbour(distance: int, i: int) -> Neighbour:
        return Neighbour(int(i), paths.get(int(i)) or f"image {i}", int(distance))

    return [[neighbour(*pair) for pair in zip(*some, strict=True)] for some in found]
