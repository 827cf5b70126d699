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
        InputError: the user of the database lacks a right.
        ConnectionError: the server was lost; what was in a transaction is as before.
    """
    try:
        import psycopg
    except ImportError as error:
        raise InputError(f"this needs psycopg ({error}): pip install dshgan-tf[db]") from error
    try:
        host = psycopg.conninfo.conninfo_to_dict(url).get("host", "")
    except psycopg.ProgrammingError:
        host = None
    # Messages of libpq repeat what it was given, with the password in it; of one with an @ half would be the host.
    if host is None or "@" in str(host):
        raise InputError("this is no address of a database; give postgresql://user@host:5432/database") from None
    try:
        opened = psycopg.connect(url, autocommit=True, client_encoding="utf8")
    except psycopg.OperationalError as error:
        raise InputError(f"cannot connect to the database: {_first_line(error)}") from None
    try:
        with opened as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ConnectionError(f"the database was lost ({_first_line(error)}); the same command goes on") from None
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:
        raise InputError(f"the database refuses: {_first_line(error)}") from None


def need_pgvector(connection: Any) -> None:
    """Make sure that the database has pgvector.

    Raises:
        InputError: it cannot have it, or has one without Hamming distances.
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
    check_pgvector(connection)


def check_pgvector(connection: Any) -> None:
    """Make sure that the database computes Hamming distances of bits.

    Raises:
        InputError: it does not.
    """
    import psycopg

    try:
        connection.execute("SELECT B'1' <~> B'0'")
    except psycopg.errors.UndefinedFunction:
        raise InputError(
            "the database has no pgvector, or one before 0.7, or in a schema outside search_path; "
            "let an administrator run CREATE EXTENSION vector"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
