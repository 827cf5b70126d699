"""The bytes of the images of a shard, whatever they lie in. Reading is lazy, and from any place that fsspec opens."""

from __future__ import annotations

import collections
import io
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from dshgan_tf.bulk_encoding.sources import Kind
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import SUFFIXES

ROWS = 64  # of a Parquet file, read at a time

# Name of an image, and its bytes; or what opens them, or why there are none.
Image = tuple[str, bytes | str | Exception]


def images_of(kind: Kind, root: str, names: list[str], foreign: collections.Counter[str]) -> Iterator[Image]:
    """Yield the images of a shard.

    Args:
        kind: as in `Source`.
        root: as in `Source`.
        names: of images, or of one container.
        foreign: counts what is passed over in a container, by suffix.

    Yields:
        Name and bytes; of a file the URL or path instead, which is opened where there are threads for it; of a
        container that ends early the error.
    """
    if kind == "files":
        for name in names:
            yield name, place_of(root, name)
        return
    for name in names:
        yield from (_in_tar if kind == "tar" else _in_parquet)(place_of(root, name), name, foreign)


def place_of(root: str, name: str) -> str:
    """Return path or URL of a name: itself where it is absolute, else below the root."""
    return name if "://" in name or name.startswith("/") or not root else f"{root}/{name}"


def read_bytes(place: str) -> bytes:
    """Return all bytes of a file.

    Raises:
        InputError: it is not there, or may not be read. Other errors are passed on: they may be gone the next time.
    """
    import fsspec

    try:
        with fsspec.open(place, "rb") as file:
            return file.read()
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"cannot open {place} ({error.strerror or error})") from error


def _in_tar(place: str, name: str, foreign: collections.Counter[str]) -> Iterator[Image]:
    import fsspec

    with fsspec.open(place, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                for member in archive:
                    suffix = PurePosixPath(member.name).suffix.lower()
                    if not member.isfile():
                        continue
                    if suffix not in SUFFIXES:
                        foreign[suffix or "no suffix"] += 1
                    elif (found := archive.extractfile(member)) is not None:
                        yield f"{name}/{member.name}", found.read()
            if not _has_its_end(file):
                raise tarfile.ReadError("it ends early")
        except tarfile.TarError as error:
            yield name, InputError(f"{name} is damaged, and what follows in it is lost ({error})")


def _has_its_end(file: Any) -> bool:
    """Return whether a tar file ends in two empty blocks; `tarfile` takes one that was cut between members as whole."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
    return size >= 2 * tarfile.BLOCKSIZE and not any(file.read())


def _in_parquet(place: str, name: str, foreign: collections.Counter[str]) -> Iterator[Image]:
    import fsspec
    from pyarrow import parquet

    with fsspec.open(place, "rb") as file:
        try:
            opened = parquet.ParquetFile(file)
        except ValueError as error:  # pyarrow's own is one
            yield name, InputError(f"{name} is no Parquet file ({error})")
            return
        if "image" not in (columns := opened.schema_arrow.names):
            yield name, InputError(f"{name} has no column image")
            return
        wanted, row = [column for column in ("image", "path") if column in columns], 0
        for batch in opened.iter_batches(ROWS, columns=wanted):
            for values in batch.to_pylist():
                image, path = _image_and_path(values)
                held = image if isinstance(image, bytes) else InputError(f"row {row} of {name} holds no bytes")
                yield path or f"{name}#{row}", held
                row += 1


def _image_and_path(row: dict[str, Any]) -> tuple[Any, str | None]:
    """An image is bytes, or bytes and a path as the data sets of Hugging Face have it."""
    image, path = row["image"], row.get("path")
    if isinstance(image, dict):
        image, path = image.get("bytes"), path or image.get("path")
    return image, path
