"""Nothing is ever half written: a temporary name first, then one rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `target` (same suffix) and rename it on success; parents are made.

    Args:
        target: file to write.

    Yields:
        The path to write to; it is removed when the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{_writer()}.part{target.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the name must not reach the disk before what it names
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a temporary folder beside `target` and rename it on success; parents are made.

    Args:
        target: folder to write; it must not exist, or be empty.

    Yields:
        The path to write to, where nothing is yet; it is removed when the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{_writer()}.part")
    try:
        yield temporary
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _writer() -> str:
    """Name process and thread, so that no two at work share a temporary name."""
    return f"{os.getpid()}-{threading.get_native_id()}"


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON, atomically.

    Args:
        target: file to write.
        value: what `json` can write.
    """
    with atomic_path(target) as path:
        path.write_text(json.dumps(value, indent=2) + "\n")


def remove_leftovers(folder: str | os.PathLike[str], pattern: str, age: float = 3600.0) -> None:
    """Remove temporary files and folders that killed processes left behind.

    Args:
        folder: where they lie.
        pattern: glob of their names.
        age: seconds since the last change after which nobody is at work on one any more.
    """
    for path in Path(folder).glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # its own process has ended with it
            if time.time() - path.stat().st_mtime > age:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
