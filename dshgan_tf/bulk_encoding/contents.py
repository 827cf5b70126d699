"""The bytes of the images of a shard, whatever they lie in. Reading is lazy, and from any place that fsspec opens."""

from __future__ import annotations

import collections
import contextlib
import errno
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dshgan_tf.bulk_encoding.sources import Kind
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import SUFFIXES

ROWS = 64  # of a Parquet file, read at a time

GONE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

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
        container that is damaged the error.
    """
    if kind == "files":
        for name in names:
            yield name, place_of(root, name)
        return
    for name in names:
        yield from _in_container(kind, root, name, foreign)


def place_of(root: str, name: str) -> str:
    """Return path or URL of a name: itself where it is absolute, else below the root."""
    return name if "://" in name or name.startswith("/") or not root else f"{root.rstrip('/')}/{name}"


def read_bytes(place: str) -> bytes:
    """Return all bytes of a file.

    Raises:
        InputError: it is not there, may not be read, or cannot be a file. Other errors are passed on: they may be gone
            the next time.
    """
    try:
        if "://" not in place:
            return Path(place).read_bytes()
        import fsspec

        with fsspec.open(place, "rb") as file:
            return file.read()
    except (*GONE, ValueError) as error:  # a ValueError: no such protocol, or no name at all
        raise InputError(f"cannot open {place} ({error})") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"cannot open {place} ({error})") from error
        raise


def _in_container(kind: Kind, root: str, name: str, foreign: collections.Counter[str]) -> Iterator[Image]:
    import fsspec

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(fsspec.open(place_of(root, name), "rb"))
        except GONE as error:
            yield name, InputError(f"cannot open {name} ({error})")
            return
        yield from (_in_tar if kind == "tar" else _in_parquet)(file, name, foreign)


def _in_tar(file: Any, name: str, foreign: collections.Counter[str]) -> Iterator[Image]:
    try:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                suffix = PurePosixPath(member.name).suffix.lower()
                if member.isdir():
                    continue
                if not member.isfile() or suffix not in SUFFIXES:
                    foreign[(suffix or "no suffix") if member.isfile() else "links"] += 1
                elif (found := archive.extractfile(member)) is not None:
                    text = member.name.encode("utf-8", "backslashreplace").decode()
                    yield f"{name}/{text}", found.read()
        if not _is_empty_from(file, archive.offset):
            raise tarfile.ReadError(f"no member and no end at byte {archive.offset}")
    except tarfile.TarError as error:
        yield name, InputError(f"{name} is damaged, and what follows in it is lost ({error})")


def _is_empty_from(file: Any, offset: int) -> bool:
    """Return whether two empty blocks or more follow, which end a tar file.

    `tarfile` stops without an error at a damaged header, at the end of the first of two archives in one file, and where
    a file was cut between two members.
    """
    file.seek(offset)
    length = 0
    while chunk := file.read(1 << 20):
        if any(chunk):
            return False
        length += len(chunk)
    return length >= 2 * tarfile.BLOCKSIZE


def _in_parquet(file: Any, name: str, _: collections.Counter[str]) -> Iterator[Image]:
    from pyarrow import parquet

    row = 0
    try:
        opened = parquet.ParquetFile(file)
        if "image" not in (columns := opened.schema_arrow.names):
            raise ValueError("it has no column image")
        wanted = [column for column in ("image", "path") if column in columns]
        for batch in opened.iter_batches(ROWS, columns=wanted):
            for values in batch.to_pylist():
                image, path = _image_and_path(values)
                held = image if isinstance(image, bytes) else InputError(f"row {row} of {name} holds no bytes")
                yield f"{name}#{row}" if path is None else str(path), held
                row += 1
    except (ValueError, OSError) as error:  # pyarrow's own, which have no number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        yield name, InputError(f"{name} is no whole Parquet file, and what follows row {row} is lost ({error})")


def _image_and_path(row: dict[str, Any]) -> tuple[Any, str | None]:
    """An image is bytes, or bytes and a path as the data sets of Hugging Face have it."""
    image, path = row["image"], row.get("path")
    if isinstance(image, dict):
        image, path = image.get("bytes"), path or image.get("path")
    return image, path
