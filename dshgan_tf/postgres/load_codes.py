"""Load what `dshgan encode-all` wrote into a database; each file in one transaction, and none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dshgan_tf.bulk_encoding.manifest import checked_file, read_manifest
from dshgan_tf.bulk_encoding.shard import MOST_ROWS
from dshgan_tf.errors import InputError
from dshgan_tf.postgres.postgres_index import PostgresIndex, Row, as_text


class Loaded(NamedTuple):
    """What a call did.

    Attributes:
        files: that were loaded now.
        images: in them.
        broken: images without a code, which are not loaded.
        before: files that were there.
    """

    files: int
    images: int
    broken: int
    before: int


def load_codes(
    folder: Path, connection: Any, table: str, watched: Callable[[Iterable[str]], Iterable[str]] = lambda files: files
) -> tuple[PostgresIndex, Loaded]:
    """Load the files of a folder that are not in the table yet. Killed at any moment, the same call does the rest.

    Args:
        folder: of `dshgan encode-all`.
        connection: as in `PostgresIndex`.
        table: as in `PostgresIndex`; made where it is missing.
        watched: wraps the names of files, to show progress.

    Returns:
        The index, and what was done.

    Raises:
        InputError: no such folder, a damaged one, or a table of another one.
    """
    manifest = read_manifest(folder)
    index = PostgresIndex(connection, table, manifest["num_bits"])
    known = index._execute("SELECT file, sha256, output FROM {loaded}").fetchall()
    if {output for _, _, output in known} - {manifest["output"]}:
        raise InputError(f"table {table!r} holds codes of another folder, with the same ids; give another --table")
    there = {(file, sha256) for file, sha256, _ in known}
    wanted = [name for name, about in manifest["files"].items() if (name, about["sha256"]) not in there]
    for name in watched(wanted):
        _load(checked_file(folder, manifest, name), manifest, index)
    broken = sum(manifest["files"][name]["broken"] for name in wanted)
    images = sum(manifest["files"][name]["images"] for name in wanted) - broken
    return index, Loaded(len(wanted), images, broken, len(manifest["files"]) - len(wanted))


def _load(path: Path, manifest: dict[str, Any], index: PostgresIndex) -> None:
    """Load one file in one transaction; what the table has of an older file of this name goes."""
    shard = list(manifest["files"]).index(path.name)
    with index.connection.transaction():
        index.put(_rows(path, manifest["num_bits"]), (shard * MOST_ROWS, (shard + 1) * MOST_ROWS))
        index._execute(
            "INSERT INTO {loaded} VALUES (%s, %s, %s, %s) ON CONFLICT (file) DO UPDATE SET sha256 = EXCLUDED.sha256",
            path.name,
            manifest["files"][path.name]["sha256"],
            manifest["output"],
            manifest.get("model_sha256"),
        )


def _rows(path: Path, num_bits: int) -> Iterator[Row]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(path).iter_batches(10_000, columns=["id", "path", "code", "width", "height"]):
        rows = [row for row in batch.to_pylist() if row["code"] is not None]
        if not rows:
            continue
        codes = np.frombuffer(b"".join(row["code"] for row in rows), np.uint8).reshape(len(rows), -1)
        for row, bits in zip(rows, as_text(codes, num_bits), strict=True):
            yield row["id"], row["path"].replace("\0", ""), bits, row["width"], row["height"]
