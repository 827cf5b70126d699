"""What a worker does: read the images of one shard, hash them, and write one Parquet file."""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dshgan_tf.bulk_encoding.contents import Image, images_of, place_of, read_bytes
from dshgan_tf.bulk_encoding.encoders import AT_A_TIME, Encoder, Engine, open_encoder
from dshgan_tf.bulk_encoding.sources import Kind
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path
from dshgan_tf.images.picture_files import open_with_size, to_image
from dshgan_tf.images.preprocessing import to_uint8
from dshgan_tf.parallel import in_order

MOST_ROWS = 1_000_000  # of a shard: an id is shard x 1,000,000 + row


class Shard(NamedTuple):
    """One task.

    Attributes:
        number: of the shard.
        kind: as in `Source`.
        root: as in `Source`.
        names: of images, or of one container.
        target: Parquet file to write.
    """

    number: int
    kind: Kind
    root: str
    names: tuple[str, ...]
    target: str


class Export(NamedTuple):
    """What hashes; arguments of `open_encoder`."""

    model: str
    engine: Engine
    checksum: str
    threads: int | None


class Picture(NamedTuple):
    """One row before it is hashed: pixels (H, W, C) uint8 and the file's own size, or why there are none."""

    path: str
    pixels: np.ndarray | None
    height: int | None
    width: int | None
    error: str | None


def encode_shard(shard: Shard, export: Export, relaxed: bool) -> int:
    """Hash a shard and write its Parquet file, under a temporary name first.

    Args:
        shard: the task.
        export: what hashes.
        relaxed: keep relaxed codes, too.

    Returns:
        How many rows were written.

    Raises:
        InputError: a container holds over a million images.
        OSError: a place did not answer. Nothing is written, and another try may succeed.
    """
    import pyarrow
    from pyarrow import parquet

    encoder = open_encoder(Path(export.model), export.engine, export.checksum, export.threads)
    schema = schema_of(encoder, relaxed)
    foreign: collections.Counter[str] = collections.Counter()
    images = images_of(shard.kind, shard.root, list(shard.names), foreign)
    pairs = ((image, encoder.image_shape, encoder.ground) for image in images)
    # A worker has one core, and threads cost more than they bring, but where a place is slow to answer.
    far = any("://" in place_of(shard.root, name) for name in shard.names)
    pictures = in_order(_picture, pairs, AT_A_TIME) if far else itertools.starmap(_picture, pairs)
    count = 0
    with atomic_path(shard.target) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for batch in _batches(pictures, AT_A_TIME):
            first = shard.number * MOST_ROWS + count
            writer.write_table(pyarrow.table(_columns(batch, first, encoder, relaxed), schema))
            count += len(batch)
            if count > MOST_ROWS:
                raise InputError(f"{shard.names[0]} holds over {MOST_ROWS:,} images; split it")
        writer.add_key_value_metadata({"not_read": json.dumps(foreign)})
    return count


def schema_of(encoder: Encoder, relaxed: bool) -> Any:
    """Return the columns of every file of codes."""
    import pyarrow

    columns = {
        "id": pyarrow.int64(),
        "path": pyarrow.string(),
        "code": pyarrow.binary((encoder.num_bits + 7) // 8),
        "width": pyarrow.int32(),
        "height": pyarrow.int32(),
        "error": pyarrow.string(),
    }
    if relaxed:
        columns["relaxed_code"] = pyarrow.list_(pyarrow.float32(), encoder.num_bits)
    return pyarrow.schema(list(columns.items()))


def _picture(image: Image, image_shape: tuple[int, int, int], ground: int) -> Picture:
    """Read one image; one that cannot be read becomes a row with the reason."""
    path, contents = image
    try:
        if isinstance(contents, Exception):
            raise contents
        data = read_bytes(contents) if isinstance(contents, str) else contents
        picture, (height, width) = open_with_size(path, data, ground)
        return Picture(path, to_uint8(to_image(picture, image_shape)), height, width, None)
    except InputError as error:
        return Picture(path, None, None, None, str(error))


def _batches(pictures: Iterator[Picture], size: int) -> Iterator[list[Picture]]:
    while batch := list(itertools.islice(pictures, size)):
        yield batch


def _columns(batch: list[Picture], first: int, encoder: Encoder, relaxed: bool) -> dict[str, list[Any]]:
    """Hash what was read; a broken image has no code."""
    readable = [picture.pixels for picture in batch if picture.pixels is not None]
    found = encoder.run(np.stack(readable)) if readable else ((), ())
    codes, relaxed_codes = map(iter, found)
    columns = {
        "id": list(range(first, first + len(batch))),
        "path": [picture.path for picture in batch],
        "code": [None if picture.pixels is None else next(codes).tobytes() for picture in batch],
        "width": [picture.width for picture in batch],
        "height": [picture.height for picture in batch],
        "error": [picture.error for picture in batch],
    }
    if relaxed:
        columns["relaxed_code"] = [None if picture.pixels is None else next(relaxed_codes) for picture in batch]
    return columns
