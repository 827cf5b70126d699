"""`dshgan cache list|clear|limit`: what is computed once and kept on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from tyro.conf import Positional

from dshgan_tf import cache as kept
from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError


def cache(action: Positional[Literal["list", "clear", "limit"]] = "list", size: Positional[str | None] = None) -> None:
    """Look after what is kept on disk: decoded images, and features of frozen trunks.

    Args:
        action: list what is there; clear removes all that no running process uses; limit sets how much is kept, and
            removes what was not used for the longest time.
        size: Of the limit, such as 20GB or 500MB.
    """
    if (size is None) != (action != "limit"):
        raise InputError("dshgan cache limit takes a size, such as 20GB; list and clear take none")
    console = terminal.output()
    if action == "limit":
        kept.set_limit(_bytes(size))
        kept.keep_to_limit()
    if action == "clear":
        for entry in kept.entries():
            gone = kept.remove(entry)
            console.print(f"{entry.kind} of {entry.about}: {'removed' if gone else 'in use, kept'}", markup=False)
    _show()


def _bytes(size: str) -> int:
    import pydantic

    try:
        return int(pydantic.TypeAdapter(pydantic.ByteSize).validate_python(size))
    except pydantic.ValidationError as error:
        raise InputError(f"a size is a number with a unit, such as 20GB or 500MB, got {size!r}") from error


def _show() -> None:
    from rich.table import Table

    entries = kept.entries()
    console = terminal.output()
    if entries:
        table = Table()
        for column in ("kind", "of", "MB", "last used"):
            table.add_column(column, justify="right" if column == "MB" else "left")
        for entry in entries:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
            table.add_row(entry.kind, entry.about, f"{entry.size / 1e6:,.1f}", used)
        console.print(table)
    total = sum(entry.size for entry in entries)
    console.print(f"{kept.cache_folder()}: {total / 1e9:.2f} GB of {kept.limit() / 1e9:.2f} GB", markup=False)


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(cache, arguments)
