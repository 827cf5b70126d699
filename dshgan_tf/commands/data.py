"""`dshgan data check FOLDER|TABLE`: what is wrong with pictures, before anything is trained."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError

if TYPE_CHECKING:
    from dshgan_tf.data.data_check import DataCheck

HELP = ("-h", "--help")
SHOWN = 5  # lines of a kind of fault; --json has all


def data(path: Positional[Path], json: bool = False, strict: bool = False) -> int:
    """Look at every picture of a folder or a table, and tell what is wrong.

    Args:
        path: A folder with one subfolder a class, or a table with the columns path and labels.
        json: Print all of it as JSON.
        strict: End with status 1 where anything is wrong.
    """
    from dshgan_tf.data.data_check import check_data

    found = check_data(path)
    _show_json(found) if json else _show(path, found)
    return terminal.FAILED if strict and found.faults() else terminal.DONE


def _show_json(found: DataCheck) -> None:
    print(json_format.dumps(found.as_dict(), indent=1))


def _show(path: Path, found: DataCheck) -> None:
    """One table of what is there, one of what is wrong."""
    from rich.table import Table

    console = terminal.output()
    formats = ", ".join(f"{count:,} {suffix}" for suffix, count in found.formats.items())
    sizes = ", ".join(f"{height} x {width}" for height, width in found.sizes)
    classes = sorted(found.classes.items(), key=lambda item: -item[1])
    rows = {
        "image files": f"{found.files:,} ({formats})",
        "height x width": f"{sizes} (smallest, median, largest)",
        "classes": f"{len(classes)}, from {classes[0][1]:,} images ({classes[0][0]}) to {classes[-1][1]:,} "
        f"({classes[-1][0]})",
        "without a label": f"{found.unlabeled:,}",
    }
    table = Table(title=terminal.printable(str(path)), show_header=False)
    for name, value in rows.items():
        table.add_row(name, terminal.printable(value))
    console.print(table)
    faults = found.faults()
    for kind, lines in faults.items():
        console.print(f"{kind}: {len(lines):,}", style="yellow", markup=False)
        for line in lines[:SHOWN]:
            console.print(terminal.printable(f"  {line}"), markup=False, soft_wrap=True)
        if len(lines) > SHOWN:
            console.print(f"  and {len(lines) - SHOWN:,} more (--json lists all)", markup=False)
    if not faults:
        console.print("nothing is wrong", style="green")


def command(arguments: Sequence[str]) -> int:
    """Run the subcommand; its status is 1 where anything is wrong and `--strict` was given."""
    if not arguments or arguments[0] not in ("check", *HELP):
        raise InputError(f"dshgan data has one action, check; got {arguments[0] if arguments else 'none'}")
    return terminal.parse(data, arguments[arguments[0] == "check" :], "data check")
