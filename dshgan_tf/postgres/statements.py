"""SQL of `PostgresIndex`. Names in braces become identifiers; %s are values."""

from __future__ import annotations

from typing import Any

from dshgan_tf.errors import InputError

TABLES = (
    "CREATE TABLE {codes} (code_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code bit({bits}) NOT NULL UNIQUE)",
    "CREATE TABLE {images} (id bigint PRIMARY KEY, path text, width integer, height integer, "
    "code_id bigint NOT NULL REFERENCES {codes})",
    "CREATE INDEX ON {images} (code_id, id)",
    "CREATE TABLE {loaded} (file text PRIMARY KEY, sha256 text NOT NULL, output text NOT NULL, model text)",
)
# A distance + 0 is what no index serves, so it is exact. Of a code at most k images can be among the k nearest.
NEAREST = (
    "SELECT c.distance, i.id, max(c.distance) OVER () FROM (SELECT code_id, code <~> %s::bit({bits}) AS distance "
    "FROM {codes} ORDER BY code <~> %s::bit({bits}) LIMIT %s) c CROSS JOIN LATERAL "
    "(SELECT id FROM {images} WHERE code_id = c.code_id ORDER BY id LIMIT %s) i ORDER BY c.distance, i.id LIMIT %s"
)
NEAREST_WITHIN = (
    "SELECT c.distance, i.id FROM (SELECT code_id, (code <~> %s::bit({bits})) + 0 AS distance FROM {codes}) c "
    "CROSS JOIN LATERAL (SELECT id FROM {images} WHERE code_id = c.code_id ORDER BY id LIMIT %s) i "
    "WHERE c.distance <= %s ORDER BY c.distance, i.id LIMIT %s"
)
WITHIN = (
    "SELECT c.distance, i.id FROM (SELECT code_id, (code <~> %s::bit({bits})) + 0 AS distance FROM {codes}) c "
    "JOIN {images} i USING (code_id) WHERE c.distance <= %s ORDER BY c.distance, i.id"
)
FILTERED = (  # the filter comes first, since it may leave none of the nearest codes
    "SELECT (c.code <~> %%s::bit({bits})) + 0 AS distance, i.id FROM {images} i JOIN {codes} c USING (code_id) "
    "WHERE (%s) ORDER BY distance, i.id LIMIT %%s"
)
INDEXES = (  # over a table that are not exact
    "SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam "
    "JOIN pg_class t ON t.oid = x.indrelid WHERE t.relname = %s AND pg_table_is_visible(t.oid) "
    "AND a.amname IN ('hnsw', 'ivfflat')"
)


def check_name(table: str) -> None:
    """Raise an `InputError` where a table cannot have this name."""
    if not table or "\0" in table or len(table.encode()) > 50:
        raise InputError(f"a table's name has 1 to 50 bytes, got {table!r}")


def filled(statement: str, table: str, num_bits: int) -> Any:
    """Return a statement for a table with its names as identifiers."""
    from psycopg import sql

    names = {"images": table, "codes": f"{table}_codes", "loaded": f"{table}_loaded", "graph": f"{table}_graph"}
    identifiers = {key: sql.Identifier(name) for key, name in names.items()}
    return sql.SQL(statement).format(bits=sql.Literal(num_bits), **identifiers)
