"""A CSV or Parquet file with the columns `path` and `labels` (several separated by `|`; empty: unlabelled).

It may have a column `split`, what each image is for, and a column `group`, which images must not be parted.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

from dshgan_tf.data.listing import Listing
from dshgan_tf.data.source import SIDES
from dshgan_tf.errors import InputError

COLUMNS = ("path", "labels")
MORE_COLUMNS = ("split", "group")  # a table may have these


def list_table(path: str | Path) -> Listing:
    """List the images of a table.

    Args:
        path: a `.csv` (UTF-8, with a header) or `.parquet` file; the paths in it are relative to its folder.

    Returns:
        The files, in the table's order, with their sides and groups where it has these; classes sorted by name.

    Raises:
        ValueError: no such file, another format, no such columns, a path that leads out of the folder, or fewer than
            two classes.
    """
    path = Path(path)
    try:
        columns = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
        labels = tuple(_labels(text) for text in columns["labels"])
        classes = tuple(sorted({label for row in labels for label in row}))
        sides, groups = _sides(columns.get("split"), path), columns.get("group")
        if groups is not None:  # an image without a group is one of its own
            groups = tuple(group or f"alone: {name}" for group, name in zip(groups, columns["path"], strict=True))
        return Listing(path.parent, columns["path"], labels, classes, sides=sides, groups=groups)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _sides(values: tuple[str, ...] | None, path: Path) -> tuple[str, ...] | None:
    """The column split; None where it speaks of something else, such as train and test."""
    if values is None or {"query", "database"} & set(values):
        return values
    found = ", ".join(sorted(set(values))[:5])
    warnings.warn(f"{path.name}: the column split says {found}, not {', '.join(SIDES)}; it is not used", stacklevel=2)
    return None


def _labels(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split("|") if part.strip()))


def _read_csv(path: Path) -> dict[str, tuple[str, ...]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        names = _check_columns(reader.fieldnames or [])
        rows = list(reader)
        return {name: tuple(_text(row[name]) for row in rows) for name in names}


def _read_parquet(path: Path) -> dict[str, tuple[str, ...]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise InputError(str(error)) from error
    names = _check_columns(table.column_names)
    as_text = dict.fromkeys(COLUMNS, _text)
    return {name: tuple(map(as_text.get(name, _any_text), table.column(name).to_pylist())) for name in names}


def _check_columns(names: Any) -> list[str]:
    """Return those of the columns that count."""
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"no column {missing[0]!r} among {', '.join(map(str, names)) or 'none'}; it needs path and labels"
        )
    return [*COLUMNS, *(name for name in MORE_COLUMNS if name in names)]


def _text(value: Any) -> str:
    """A cell; an empty one is None in Parquet and where a line of CSV is short."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"the columns must hold texts, got {value!r}")
    return value


def _any_text(value: Any) -> str:
    """A cell of a column that may hold numbers, such as those of groups."""
    return "" if value is None else str(value)
