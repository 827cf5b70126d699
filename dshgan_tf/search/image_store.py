"""The images of an index in one SQLite file: name, code, thumbnail, and why a broken file has none.

Every change is a transaction, so a process that is killed leaves the store as it was after the last one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.errors import InputError

FOLDER, DATABASE, ADDED = "folder", "database", "added"  # where an image came from
SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
    name BLOB NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER,
    modified INTEGER,
    code BLOB,
    probabilities BLOB,
    thumbnail BLOB,
    error TEXT,
    UNIQUE (origin, name)
);
CREATE TABLE IF NOT EXISTS state (generation INTEGER NOT NULL);
INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT * FROM state);
"""
WAIT = 30.0  # seconds for another writer to end
AT_ONCE = 500  # parameters of one statement, below SQLite's bound


@dataclasses.dataclass(frozen=True)
class Stored:
    """One image to be stored.

    Args:
        name: path relative to its folder, or what it is called.
        origin: "folder", "database" or "added".
        size: of the file in bytes, None where there is no file.
        modified: its time in nanoseconds.
        code: (ceil(K/8),) uint8, or None where the file is broken.
        probabilities: (L,) float of the class stream.
        thumbnail: bytes of a JPEG or PNG file.
        error: why a file is broken.
    """

    name: str
    origin: str
    size: int | None = None
    modified: int | None = None
    code: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    thumbnail: bytes | None = None
    error: str | None = None


class ImageStore:
    """The images of an index.

    Args:
        path: the SQLite file; made where it is missing and the store is to be written.
        writable: False opens it to read alone, also on a medium that cannot be written.

    Raises:
        InputError: no such file, or something else.
    """

    def __init__(self, path: Path, writable: bool = False) -> None:
        self.path = path
        try:
            self._connection = self._connect("rwc" if writable else "ro")
            if writable:
                self._connection.executescript(SCHEMA)
            self.generation()
        except sqlite3.Error as error:
            raise InputError(f"{path} is no store of an index ({error}); make it with dshgan index") from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        """Open the file; where a process was killed within a change, what it had begun is undone first."""
        uri = f"{self.path.resolve().as_uri()}?mode="
        # The page of the demonstration answers in several threads, one at a time.
        options = {"uri": True, "timeout": WAIT, "check_same_thread": False, "isolation_level": None}
        connection = sqlite3.connect(uri + mode, **options)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            if mode != "ro":
                raise
            with contextlib.closing(sqlite3.connect(f"{uri}rw", **options)) as mender:
                mender.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("SELECT count(*) FROM sqlite_master")
        return connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def generation(self) -> int:
        """Return a number that grows with every change of the images."""
        return self._read("SELECT generation FROM state")[0][0]

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which counts as a change; a second writer waits.

        Raises:
            OSError: the file cannot be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("UPDATE state SET generation = generation + 1")
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise
        except sqlite3.Error as error:
            raise OSError(f"cannot change {self.path}: {error}") from error

    def snapshot(self, width: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the generation with the ids and codes that belong to it, as `codes`, whoever writes meanwhile."""
        self._connection.execute("BEGIN")
        try:
            return self.generation(), *self.codes(width)
        finally:
            self._connection.execute("COMMIT")

    def put(self, images: Iterable[Stored]) -> None:
        """Add images; one whose name and origin are there takes its place and keeps its id."""
        rows = [
            (
                _to_bytes(image.name),
                image.origin,
                image.size,
                image.modified,
                None if image.code is None else image.code.tobytes(),
                None if image.probabilities is None else image.probabilities.astype(np.float16).tobytes(),
                image.thumbnail,
                image.error,
            )
            for image in images
        ]
        if not rows:
            return
        with self._change() as connection:
            connection.executemany(
                "INSERT INTO images (name, origin, size, modified, code, probabilities, thumbnail, error) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (origin, name) DO UPDATE SET "
                "size = excluded.size, modified = excluded.modified, code = excluded.code, "
                "probabilities = excluded.probabilities, thumbnail = excluded.thumbnail, error = excluded.error",
                rows,
            )

    def remove(self, ids: Iterable[int]) -> None:
        """Drop images by id; unknown ids are passed over."""
        rows = [(int(item),) for item in ids]
        if rows:
            with self._change() as connection:
                connection.executemany("DELETE FROM images WHERE id = ?", rows)

    def files(self) -> dict[str, tuple[int, int | None, int | None]]:
        """Return name -> (id, size, modified) of what came from the folder; of broken files size and time are None."""
        query = "SELECT name, id, size, modified, error FROM images WHERE origin = ?"
        return {
            _to_text(name): (item, None, None) if error else (item, size, modified)
            for name, item, size, modified, error in self._read(query, (FOLDER,))
        }

    def named(self) -> dict[str, int]:
        """Return name -> id of all images; of two with one name, the later."""
        return {_to_text(name): item for name, item in self._read("SELECT name, id FROM images ORDER BY id")}

    def has(self, origin: str) -> bool:
        """Return whether any image is of an origin."""
        return bool(self._read("SELECT 1 FROM images WHERE origin = ? LIMIT 1", (origin,)))

    def codes(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids (N,) int64 and the codes (N, width) uint8 of all images that have one.

        Raises:
            InputError: a code of another width.
        """
        rows = self._read("SELECT id, code FROM images WHERE code IS NOT NULL ORDER BY id")
        if any(len(code) != width for _, code in rows):
            raise InputError(f"{self.path} holds codes that are not {width} bytes long; make the index again")
        ids = np.array([item for item, _ in rows], np.int64)
        return ids, np.frombuffer(b"".join(code for _, code in rows), np.uint8).reshape(len(rows), width)

    def probabilities(self, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (N,) int64 and the class stream's probabilities (N, L) float32, of images that have some."""
        query = "SELECT id, probabilities FROM images WHERE probabilities IS NOT NULL AND code IS NOT NULL ORDER BY id"
        rows = [row for row in self._read(query) if len(row[1]) == 2 * num_classes]
        values = np.frombuffer(b"".join(row[1] for row in rows), np.float16).reshape(len(rows), num_classes)
        return np.array([item for item, _ in rows], np.int64), values.astype(np.float32)

    def names(self, ids: Iterable[int]) -> dict[int, str]:
        """Return id -> name; an id that is gone is left out."""
        return {item: _to_text(name) for item, name in self._rows_of("name", ids)}

    def thumbnails(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Return id -> bytes of a JPEG or PNG file; an id that is gone is left out."""
        return dict(self._rows_of("thumbnail", ids))

    def _rows_of(self, column: str, ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        wanted = sorted({int(item) for item in ids})
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            marks = ", ".join("?" * len(some))
            yield from self._read(f"SELECT id, {column} FROM images WHERE id IN ({marks})", some)

    def broken(self) -> dict[str, str]:
        """Return name -> reason of the files that could not be read."""
        rows = self._read("SELECT name, error FROM images WHERE error IS NOT NULL ORDER BY name")
        return {_to_text(name): error for name, error in rows}

    def count(self) -> int:
        """Return the number of images with a code."""
        return self._read("SELECT count(*) FROM images WHERE code IS NOT NULL")[0][0]


def _to_bytes(name: str) -> bytes:
    """File names may hold bytes that are no text; they survive the way to the file and back."""
    return os.fsencode(name)


def _to_text(name: bytes) -> str:
    return os.fsdecode(name)
