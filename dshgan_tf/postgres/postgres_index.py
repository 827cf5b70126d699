"""Codes in a database: as `HammingIndex`, with transactions, deletes and backups that are PostgreSQL's own.

Learnt codes repeat. So each code is stored once, and images refer to it: a search looks at distinct codes and then fans
out. Graph indexes fail where many entries are equal, and here none are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from dshgan_tf.codes import check_codes, unpack
from dshgan_tf.errors import InputError
from dshgan_tf.postgres import statements
from dshgan_tf.postgres.connection import check_pgvector, need_pgvector

Index = Literal["none", "hnsw"]
SEEN = 200  # codes that a graph search keeps in view, at least
Row = tuple[int, str | None, str, int | None, int | None]  # id, path, bits, width, height


class PostgresIndex:
    """Search codes in PostgreSQL by Hamming distance.

    A table holds the images (id, path, width, height), and a second one, its name with `_codes` behind, their distinct
    codes. Columns that you add to the first are kept, and `where` filters by them.

    Args:
        connection: as `connection.connected` yields it, or any `psycopg.Connection` in autocommit mode.
        table: its name; any text is taken as a name.
        num_bits: K, to make the tables where they are missing; None where they must be there.

    Raises:
        InputError: no such table, one of other codes, or no pgvector.
    """

    def __init__(self, connection: Any, table: str, num_bits: int | None = None) -> None:
        self.connection, self.table = connection, table
        statements.check_name(table)
        stored = self._stored_bits()
        if stored is None:
            if num_bits is None:
                raise InputError(f"the database has no table {table!r} of codes; load some into it")
            need_pgvector(connection)
            self._make(num_bits)
        elif num_bits is not None and num_bits != stored:
            raise InputError(f"table {table!r} holds codes of {stored} bits, not {num_bits}; give another --table")
        check_pgvector(connection)
        self.num_bits = stored or int(num_bits or 0)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self._execute("SELECT count(*) FROM {images}").fetchone()[0])

    @property
    def distinct_codes(self) -> int:
        """How many different codes the images have."""
        return int(self._execute("SELECT count(*) FROM {codes}").fetchone()[0])

    def add(self, codes: np.ndarray, ids: np.ndarray, paths: Sequence[str] | None = None) -> None:
        """Add images, or replace those whose ids are there; all or none.

        Args:
            codes: (N, ceil(K/8)) uint8.
            ids: (N,) integers.
            paths: N names of the images.

        Raises:
            InputError: codes that are not of K bits, or an id that is given twice.
        """
        codes = check_codes(codes, self.num_bits)
        if len(np.unique(ids)) != len(codes):
            raise InputError(f"ids must be {len(codes)} different integers, one a code")
        names = [None] * len(codes) if paths is None else paths
        texts = as_text(codes, self.num_bits)
        rows = zip(map(int, ids), names, texts, [None] * len(codes), [None] * len(codes), strict=True)
        with self.connection.transaction():
            self.put(rows)

    def put(self, rows: Iterable[Row], instead_of: tuple[int, int] = (0, 0)) -> None:
        """Add or replace rows, within a transaction of the caller's.

        Args:
            rows: of images.
            instead_of: range of ids; those of the table in it that are not among the rows go.
        """
        self._lock()
        self._execute(
            "CREATE TEMPORARY TABLE dshgan_incoming (id bigint PRIMARY KEY, path text, code bit({bits}) NOT NULL, "
            "width integer, height integer) ON COMMIT DROP"
        )
        with self.connection.cursor().copy("COPY pg_temp.dshgan_incoming FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        self._execute("CREATE TEMPORARY TABLE dshgan_left (code_id bigint) ON COMMIT DROP")
        self._execute(
            "INSERT INTO pg_temp.dshgan_left SELECT code_id FROM {images} "
            "WHERE id IN (SELECT id FROM pg_temp.dshgan_incoming) OR (id >= %s AND id < %s)",
            *instead_of,
        )
        self._execute(
            "DELETE FROM {images} WHERE id >= %s AND id < %s AND id NOT IN (SELECT id FROM pg_temp.dshgan_incoming)",
            *instead_of,
        )
        self._execute(
            "INSERT INTO {codes} (code) SELECT DISTINCT code FROM pg_temp.dshgan_incoming ON CONFLICT DO NOTHING"
        )
        self._execute(
            "INSERT INTO {images} (id, path, width, height, code_id) "
            "SELECT n.id, n.path, n.width, n.height, c.code_id "
            "FROM pg_temp.dshgan_incoming n JOIN {codes} c USING (code) "
            "ON CONFLICT (id) DO UPDATE SET path = EXCLUDED.path, width = EXCLUDED.width, height = EXCLUDED.height, "
            "code_id = EXCLUDED.code_id"
        )
        self._drop_unused("SELECT code_id FROM pg_temp.dshgan_left")
        self._execute("DROP TABLE pg_temp.dshgan_incoming, pg_temp.dshgan_left")

    def remove(self, ids: Sequence[int] | np.ndarray) -> None:
        """Remove images; all or none.

        Raises:
            InputError: an id is not there; nothing is removed then.
        """
        wanted = [int(i) for i in ids]
        with self.connection.transaction():
            self._lock()
            gone = self._execute("DELETE FROM {images} WHERE id = ANY(%s) RETURNING id, code_id", wanted).fetchall()
            if missing := set(wanted) - {found for found, _ in gone}:
                raise InputError(f"ids must be in table {self.table!r}, got {min(missing)}, which is not")
            self._drop_unused("SELECT unnest(%s::bigint[])", [code for _, code in gone])

    def search(
        self, query_codes: np.ndarray, k: int, where: str | None = None, values: Sequence[Any] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images of each query, by (distance, id), in one state of the table.

        Without a graph index this is exact. With one it is not, but for a filter.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            k: how many, at most as many as the filter leaves.
            where: SQL condition on columns of the images, "width > %s". It is run as it is: write it yourself, and
                never make it of what somebody else gave; that belongs in `values`. A % of its own is written %%.
            values: what stands for each %s in it.

        Returns:
            distances (Q, k) int32 in [0, K], and ids (Q, k) int64.

        Raises:
            InputError: codes that are not of K bits, or fewer than k images.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        texts = as_text(check_codes(query_codes, self.num_bits, "query_codes"), self.num_bits)
        with self._one_state(max(SEEN, 2 * k + 32)):
            if where is None:
                quick = self._is_quick()
                rows = [self._nearest(text, int(k), quick) for text in texts]
            else:
                rows = [self._filtered(text, int(k), where, values) for text in texts]
        if (least := min(map(len, rows), default=k)) < k:
            raise InputError(self._too_few(least, k, where))
        pairs = np.array(rows, np.int64).reshape(len(texts), k, 2)
        return pairs[..., 0].astype(np.int32), pairs[..., 1]

    def range_search(self, query_codes: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all images within a Hamming radius of each query, exactly, in the order of `search`.

        Args:
            query_codes: (Q, ceil(K/8)) uint8.
            radius: largest distance.

        Returns:
            limits (Q+1,) int64, distances (R,) int32 and ids (R,) int64, as of `HammingIndex.range_search`.

        Raises:
            InputError: codes that are not of K bits.
        """
        if not 0 <= radius <= self.num_bits:
            raise InputError(f"radius must be between 0 and num_bits={self.num_bits}, got {radius}")
        texts = as_text(check_codes(query_codes, self.num_bits, "query_codes"), self.num_bits)
        with self._one_state():
            rows = [self._run(statements.WITHIN, (text, int(radius))).fetchall() for text in texts]
        limits = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        pairs = np.array([pair for row in rows for pair in row], np.int64).reshape(-1, 2)
        return limits, pairs[:, 0].astype(np.int32), pairs[:, 1]

    def paths(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the names of images by their ids."""
        return dict(self._execute("SELECT id, path FROM {images} WHERE id = ANY(%s)", [int(i) for i in ids]).fetchall())

    def models(self) -> set[str]:
        """Return the checksums of the encoders that made the codes, as far as `load_codes` knows them."""
        return {model for (model,) in self._execute("SELECT DISTINCT model FROM {loaded}").fetchall() if model}

    def drop_graph(self) -> None:
        """Drop the graph index, so that searches are exact again."""
        self._execute("DROP INDEX IF EXISTS {graph}")

    def build_graph(self) -> None:
        """Build a graph index (HNSW) over the distinct codes: faster for millions of them, and not exact."""
        self._execute("CREATE INDEX IF NOT EXISTS {graph} ON {codes} USING hnsw (code bit_hamming_ops)")

    def _nearest(self, text: str, k: int, quick: bool) -> list[tuple[int, int]]:
        """Distance and id of the k nearest images of one query. `quick` leaves ties to what an index finds."""
        looked = 2 * k + 32  # codes; so many that mostly no tie at the distance of place k is cut
        found = self._run(statements.NEAREST, (text, text, looked, k, k)).fetchall()
        if quick or (found and found[-1][0] < found[-1][2]):
            return [(distance, i) for distance, i, _ in found]
        cut = found[-1][0] if found else self.num_bits
        return self._run(statements.NEAREST_WITHIN, (text, k, cut, k)).fetchall()

    def _too_few(self, found: int, k: int, where: str | None) -> str:
        if where is None and len(self) >= k:
            return (
                f"only {found} of {k} images were found, since codes of removed ones are in the way: delete them from "
                f"{self.table}_codes, or remove images by PostgresIndex.remove"
            )
        return f"k must be at most the {found} images that are there, got {k}"

    def _filtered(self, text: str, k: int, where: str, values: Sequence[Any]) -> list[tuple[int, int]]:
        """Distance and id of the k nearest images that a filter leaves."""
        import psycopg

        statement = statements.FILTERED % where.replace("{", "{{").replace("}", "}}")
        try:
            return self._run(statement, (text, *values, k)).fetchall()
        except psycopg.ProgrammingError as error:
            reason = str(error).split("\n")[0]
            raise InputError(f"cannot filter by {where!r} ({reason}); a % that is no value's is written %%") from error

    def _is_quick(self) -> bool:
        """Whether an index that is not exact lies over the codes."""
        return bool(self._execute(statements.INDEXES, f"{self.table}_codes").fetchone()[0])

    @contextlib.contextmanager
    def _one_state(self, seen: int = SEEN) -> Iterator[None]:
        """Let all statements of the block see one state of the tables."""
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(min(seen, 1000)),))
            self.connection.execute("SELECT set_config('hnsw.iterative_scan', 'strict_order', true)")
            yield

    def _execute(self, statement: str, *values: Any) -> Any:
        return self._run(statement, values)

    def _run(self, statement: str, values: Sequence[Any]) -> Any:
        """Run a statement; names become identifiers, values stay parameters."""
        return self.connection.execute(statements.filled(statement, self.table, getattr(self, "num_bits", 0)), values)

    def _lock(self) -> None:
        """Let no other writer in; readers go on."""
        self._execute("LOCK TABLE {images} IN SHARE ROW EXCLUSIVE MODE")

    def _drop_unused(self, code_ids: str, *values: Any) -> None:
        """Drop those of some codes that no image has any more; a search would find nobody there."""
        self._execute(
            f"DELETE FROM {{codes}} c WHERE code_id IN ({code_ids}) "
            "AND NOT EXISTS (SELECT FROM {images} i WHERE i.code_id = c.code_id)",
            *values,
        )

    def _stored_bits(self) -> int | None:
        """K of the table that is there; None where there is none."""
        found = self.connection.execute(
            "SELECT a.atttypmod FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = %s "
            "AND a.attname = 'code' AND a.atttypid = 'bit'::regtype AND pg_table_is_visible(c.oid)",
            (f"{self.table}_codes",),
        ).fetchone()
        return None if found is None else int(found[0])

    def _make(self, num_bits: int) -> None:
        import psycopg

        self.num_bits = int(num_bits)
        try:
            with self.connection.transaction():
                for statement in statements.TABLES:
                    self._execute(statement)
        except psycopg.errors.DuplicateTable as error:
            raise InputError(f"the database has another table of this name ({error}); give another --table") from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise InputError(f"this user may make no tables ({error}); let an administrator grant it") from None


def as_text(codes: np.ndarray, num_bits: int) -> list[str]:
    """Return packed codes as PostgreSQL writes bits: texts of zeros and ones."""
    return [(row + ord("0")).astype(np.uint8).tobytes().decode() for row in unpack(codes, num_bits)]
