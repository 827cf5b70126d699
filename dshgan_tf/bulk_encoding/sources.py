"""What is to be hashed: image files of a folder or a table, or containers that hold images (tar, Parquet)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from dshgan_tf.errors import InputError
from dshgan_tf.images.find_images import find_images
from dshgan_tf.images.picture_files import SUFFIXES

Kind = Literal["files", "tar", "parquet"]
FORMS = "a folder of images, of .tar or of .parquet files, one of these files, or a table with a column path"


@dataclasses.dataclass(frozen=True)
class Source:
    """Images to be hashed.

    Attributes:
        kind: "files": each name is an image; "tar" and "parquet": each is a file that holds many.
        root: folder or URL that names are relative to; "" for the working directory.
        names: sorted, or in the order of a table; each once.
        foreign: suffix -> how many files are not read.

    Raises:
        InputError: a name is no text.
    """

    kind: Kind
    root: str
    names: tuple[str, ...]
    foreign: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that no file of codes can hold."""
        for name in self.names:
            if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
                raise InputError(f"the name {name!a} is no UTF-8; rename the file")


def find_source(source: str) -> Source:
    """List what is to be hashed.

    Args:
        source: folder, table or container; a path, or a URL that fsspec opens, such as s3://bucket/photos.

    Raises:
        InputError: nothing there, or nothing that is read.
    """
    suffix = PurePosixPath(source).suffix.lower()
    folder, _, name = source.rpartition("/")
    folder = folder or ("/" if source.startswith("/") else "")
    if suffix == ".tar":
        _must_exist(source)
        return Source("tar", folder, (name,))
    if suffix == ".csv":
        return _table(source, folder, _csv_paths(source))
    if suffix == ".parquet":
        names, paths = _parquet_columns(source)
        return Source("parquet", folder, (name,)) if "image" in names else _table(source, folder, paths)
    return _folder(source)


def _must_exist(source: str) -> None:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(source)
        there = system.isfile(path)
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"cannot open {source} ({error})") from error
    if not there:
        raise InputError(f"{source} is not there; give {FORMS}")


def _folder(source: str) -> Source:
    """Images, or else the containers of one kind; all other files are counted."""
    if "://" in source:
        images, foreign = _remote_folder(source)
    elif Path(source).is_dir():
        images, foreign = find_images(Path(source))
    elif Path(source).exists():
        raise InputError(f"{source} is none of these; give {FORMS}")
    else:
        raise InputError(f"{source} is not there; give {FORMS}")
    kind, names = "files", list(images)
    for container in ("tar", "parquet"):
        if not names and (inside := foreign.pop(f".{container}", [])):
            kind, names = container, inside
    if not names:
        raise InputError(f"{source} holds no images ({', '.join(SUFFIXES)}) and no .tar or .parquet files")
    return Source(kind, source.rstrip("/") or "/", tuple(names), {name: len(files) for name, files in foreign.items()})


def _remote_folder(source: str) -> tuple[list[str], dict[str, list[str]]]:
    """As `find_images`, of a URL."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(source)
        paths = sorted(system.find(root))
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"cannot list {source} ({error}); give {FORMS}") from error
    images: list[str] = []
    foreign: dict[str, list[str]] = {}
    for path in paths:
        name, suffix = path[len(root) :].lstrip("/"), PurePosixPath(path).suffix.lower()
        (images if suffix in SUFFIXES else foreign.setdefault(suffix or "no suffix", [])).append(name)
    return images, foreign


def _table(source: str, folder: str, paths: Iterable[Any] | None) -> Source:
    if paths is None:
        raise InputError(f"{source} has neither a column path nor a column image; give {FORMS}")
    listed = list(paths)
    names = tuple(dict.fromkeys(str(path) for path in listed if path))
    if not names:
        raise InputError(f"{source} names no image in its column path")
    empty = sum(not path for path in listed)
    return Source("files", folder, names, {"rows without a path": empty} if empty else {})


def _csv_paths(source: str) -> list[Any] | None:
    import fsspec
    import pyarrow
    from pyarrow import csv

    try:
        with fsspec.open(source, "rb") as file:
            table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types={"path": pyarrow.string()}))
    except (ImportError, ValueError, OSError) as error:  # pyarrow's errors are these, too
        raise InputError(f"cannot read {source} as a table ({error})") from error
    return table.column("path").to_pylist() if "path" in table.column_names else None


def _parquet_columns(source: str) -> tuple[list[str], list[Any] | None]:
    import fsspec
    from pyarrow import parquet

    try:
        with fsspec.open(source, "rb") as file:
            opened = parquet.ParquetFile(file)
            names = opened.schema_arrow.names
            paths = "path" in names and "image" not in names
            return names, opened.read(["path"]).column("path").to_pylist() if paths else None
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"cannot read {source} as a table ({error})") from error
