"""A connection to PostgreSQL, with pgvector. What goes wrong is one line, and a password is in none of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dshgan_tf.errors import InputError


@contextlib.contextmanager
def connected(url: str) -> Iterator[Any]:
    """Yield a connection; each block of `connection.transaction()` is one transaction.

    Args:
        url: as libpq takes it, "postgresql://user@host:5432/database". A password is better in PGPASSWORD or ~/.pgpass,
            where no list of processes shows it.

    Yields:
        A `psycopg.Connection`.

    Raises:
        InputError: psycopg is missing, the URL is none, or the server does not answer or refuses.
        ConnectionError: the server was lost; what was in a transaction is as before.
    """
    try:
        import psycopg
    except ImportError as error:
        raise InputError(f"this needs psycopg ({error}): pip install dshgan-tf[db]") from error
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own message repeats what it was given, with the password in it.
        raise InputError("this is no address of a database; give postgresql://user@host:5432/database") from None
    try:
        opened = psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        raise InputError(f"the database lets nobody in: {_first_line(error)}") from None
    try:
        with opened as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ConnectionError(f"the database was lost ({_first_line(error)}); the same command goes on") from None


def need_pgvector(connection: Any) -> None:
    """Make sure that the database has pgvector.

    Raises:
        InputError: it cannot have it.
    """
    import psycopg

    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported) as error:
        raise InputError(f"the server has no pgvector ({_first_line(error)}); install it there") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise InputError(
            f"pgvector is not switched on ({_first_line(error)}); let an administrator run CREATE EXTENSION vector"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
