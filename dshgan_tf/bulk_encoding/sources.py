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
        root: folder or URL that names are relative to; "" where they stand for themselves.
        names: sorted, or in the order of a table; each once.
        foreign: suffix -> how many files are not read.
    """

    kind: Kind
    root: str
    names: tuple[str, ...]
    foreign: dict[str, int] = dataclasses.field(default_factory=dict)


def find_source(source: str) -> Source:
    """List what is to be hashed.

    Args:
        source: folder, table or container; a path, or a URL that fsspec opens, such as s3://bucket/photos.

    Raises:
        InputError: nothing there, or nothing that is read.
    """
    suffix = PurePosixPath(source).suffix.lower()
    if suffix == ".tar":
        return _containers("tar", [source])
    if suffix == ".csv":
        return _table(source, _csv_paths(source))
    if suffix == ".parquet":
        names, paths = _parquet_columns(source)
        return _containers("parquet", [source]) if "image" in names else _table(source, paths)
    return _folder(source)


def _folder(source: str) -> Source:
    if "://" not in source:
        folder = Path(source)
        if not folder.is_dir():
            raise InputError(f"{source} is not there; give {FORMS}")
        images, foreign = find_images(folder)
        others = {suffix: len(names) for suffix, names in foreign.items()}
        inside = {kind: sorted(map(str, folder.glob(f"*.{kind}"))) for kind in ("tar", "parquet")}
    else:
        images, others, inside = _remote_folder(source)
    for kind in ("tar", "parquet"):
        if inside[kind] and not images:
            return _containers(kind, inside[kind])
    if not images:
        raise InputError(f"{source} holds no images ({', '.join(SUFFIXES)}) and no .tar or .parquet files")
    return Source("files", source.rstrip("/"), tuple(images), others)


def _remote_folder(source: str) -> tuple[list[str], dict[str, int], dict[str, list[str]]]:
    """Return names of images, how many others there are by suffix, and URLs of containers."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(source)
        paths = sorted(system.find(root))
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"cannot list {source} ({error}); give {FORMS}") from error
    images, others, inside = [], {}, {"tar": [], "parquet": []}
    for path in paths:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in SUFFIXES:
            images.append(path[len(root) :].lstrip("/"))
        elif suffix[1:] in inside:
            inside[suffix[1:]].append(system.unstrip_protocol(path))
        else:
            others[suffix or "no suffix"] = others.get(suffix or "no suffix", 0) + 1
    return images, others, inside


def _containers(kind: Kind, paths: list[str]) -> Source:
    """Containers are named without their folder, so that this may move."""
    folder, _, _ = paths[0].rpartition("/")
    return Source(kind, folder, tuple(path.rpartition("/")[2] for path in paths))


def _table(source: str, paths: Iterable[Any] | None) -> Source:
    if paths is None:
        raise InputError(f"{source} has neither a column path nor a column image; give {FORMS}")
    names = tuple(dict.fromkeys(str(path) for path in paths if path))
    if not names:
        raise InputError(f"{source} names no image in its column path")
    return Source("files", source.rpartition("/")[0] or ".", names)


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
