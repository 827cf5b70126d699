"""A CSV or Parquet file with the columns `path` and `labels` (several separated by `|`; empty: unlabelled)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from dshgan_tf.data.listing import Listing
from dshgan_tf.errors import InputError

COLUMNS = ("path", "labels")


def list_table(path: str | Path) -> Listing:
    """List the images of a table.

    Args:
        path: a `.csv` (UTF-8, with a header) or `.parquet` file; the paths in it are relative to its folder.

    Returns:
        The files, in the table's order; classes sorted by name.

    Raises:
        ValueError: no such file, another format, no such columns, a path that leads out of the folder, or fewer than
            two classes.
    """
    path = Path(path)
    try:
        rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
        names, labels = [], []
        for name, text in rows:
            names.append(_text(name))
            labels.append(tuple(dict.fromkeys(part.strip() for part in _text(text).split("|") if part.strip())))
        classes = sorted({label for row in labels for label in row})
        return Listing(path.parent, tuple(names), tuple(labels), tuple(classes))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _read_csv(path: Path) -> list[tuple[Any, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        _check_columns(reader.fieldnames or [])
        return [(row["path"], row["labels"]) for row in reader]


def _read_parquet(path: Path) -> list[tuple[Any, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise InputError(str(error)) from error
    _check_columns(table.column_names)
    return list(zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True))


def _check_columns(names: Any) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"no column {missing[0]!r} among {', '.join(map(str, names)) or 'none'}; it needs path and labels"
        )


def _text(value: Any) -> str:
    """A cell; an empty one is None in Parquet and where a line of CSV is short."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"path and labels must be texts, got {value!r}")
    return value
