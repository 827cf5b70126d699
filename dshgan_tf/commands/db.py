"""`dshgan db load CODES URL --table NAME`: put codes into PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError

HELP = ("-h", "--help")


def load(
    codes: Positional[Path], url: Positional[str], *, table: str, index: Literal["none", "hnsw"] | None = None
) -> None:
    """Load codes of `dshgan encode-all` into PostgreSQL with pgvector; the same command again loads what is missing.

    Args:
        codes: Folder that `dshgan encode-all` wrote.
        url: Of the database, as postgresql://user@host/database. Give a password in PGPASSWORD or ~/.pgpass.
        table: Name of the table; it is made where it is missing, and a second one, NAME_codes.
        index: hnsw builds a graph, for millions of distinct codes; it is fast, and not exact. none drops it. By default
            all stays as it is, at first without a graph.
    """
    from dshgan_tf.postgres.connection import connected
    from dshgan_tf.postgres.load_codes import load_codes

    with connected(url) as connection:
        target, loaded = load_codes(codes, connection, table, terminal.bar("loading"))
        if index == "hnsw":
            target.build_graph()
        if index == "none":
            target.drop_graph()
        line = (
            f"{table}: {len(target):,} images, {target.distinct_codes:,} distinct codes of {target.num_bits} bits "
            f"({loaded.images:,} from {loaded.files:,} files now, {loaded.before:,} files before)"
        )
    terminal.output().print(terminal.printable(line), markup=False, soft_wrap=True)
    if loaded.broken:
        terminal.output().print(f"{loaded.broken:,} images have no code and are left out", markup=False)


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.refuse_passwords(arguments)
    if not arguments or arguments[0] not in ("load", *HELP):
        raise InputError(f"dshgan db has one action, load; got {arguments[0] if arguments else 'none'}")
    terminal.parse(load, arguments[arguments[0] == "load" :], "db load")
