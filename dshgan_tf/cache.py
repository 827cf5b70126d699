"""What is computed once and kept on disk: decoded images, and features of frozen trunks. It has a bound.

An entry is a folder: `images/NAME` or `features/NAME`. What is in use is locked by a file in it, shared by all who use
it; the locks go with the processes. Entries that were not used for the longest time go first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path

from dshgan_tf.files import remove_leftovers, write_json

DEFAULT_LIMIT = 20 * 1000**3  # bytes
KINDS = ("images", "features")
IN_USE, ABOUT = "in_use", "about.json"
_locks: dict[Path, int] = {}  # file descriptors of what this process uses; they are closed where it ends


@dataclasses.dataclass(frozen=True)
class Entry:
    """What was computed of one source.

    Args:
        folder: of its files.
        kind: one of `KINDS`.
        about: what it was computed of, for people.
        size: bytes on disk.
        used: when, seconds since 1970.
    """

    folder: Path
    kind: str
    about: str
    size: int
    used: float


def cache_folder() -> Path:
    """Return the folder of what is computed once: `$XDG_CACHE_HOME/dshgan_tf`, or `~/.cache/dshgan_tf`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dshgan_tf"


def use_entry(kind: str, name: str, about: str) -> Path:
    """Return the folder of an entry, made where it is missing; it stays while this process lives.

    Args:
        kind: one of `KINDS`.
        name: of the folder, a checksum of all that the contents depend on.
        about: what it is computed of, for people.
    """
    folder = cache_folder() / kind / name
    while not _lies_there(_locks.get(folder), folder):  # another process may remove it before the lock is ours
        if folder in _locks:
            os.close(_locks.pop(folder))
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_SH)
            _locks[folder] = lock
    os.utime(folder / IN_USE)
    if not (folder / ABOUT).exists():
        write_json(folder / ABOUT, {"about": about})
    return folder


def _lies_there(lock: int | None, folder: Path) -> bool:
    """Whether the locked file is the one that has the folder's name for it."""
    try:
        return lock is not None and os.path.samestat(os.fstat(lock), os.stat(folder / IN_USE))
    except FileNotFoundError:
        return False


def entries() -> list[Entry]:
    """Return what is kept, the last used first."""
    found = []
    for kind in KINDS:
        for lock in (cache_folder() / kind).glob(f"*/{IN_USE}"):
            folder = lock.parent
            with contextlib.suppress(FileNotFoundError):  # another process removes it meanwhile
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                found.append(Entry(folder, kind, _about(folder), size, lock.stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def _about(folder: Path) -> str:
    try:
        return json.loads((folder / ABOUT).read_text())["about"]
    except (OSError, ValueError, KeyError):  # its process was killed right at the start
        return "?"


def remove(entry: Entry) -> bool:
    """Remove an entry that nobody uses; tell whether it is gone."""
    try:
        lock = os.open(entry.folder / IN_USE, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _lies_there(lock, entry.folder):
            shutil.rmtree(entry.folder)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(lock)


def limit() -> int:
    """Return how many bytes may be kept."""
    try:
        return int(json.loads((cache_folder() / "limit.json").read_text())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_LIMIT


def set_limit(size: int) -> None:
    """Set how many bytes may be kept.

    Args:
        size: bytes, at least 0.
    """
    write_json(cache_folder() / "limit.json", {"bytes": int(size)})


def keep_to_limit() -> None:
    """Remove what was not used for the longest time until the limit holds, and say what went."""
    for kind in KINDS:
        remove_leftovers(cache_folder() / kind, "*/.*.part*")
    kept = entries()
    total = sum(entry.size for entry in kept)
    for entry in reversed(kept):
        if total <= limit():
            return
        if remove(entry):
            total -= entry.size
            _say(f"the cache is over its limit: {entry.kind} of {entry.about} went, unused {_since(entry.used)}")
    if total > limit():
        _say(f"the cache has {total / 1e9:.1f} GB, all in use; dshgan cache limit says {limit() / 1e9:.1f} GB")


def _since(used: float) -> str:
    days = (time.time() - used) / 86400
    return f"for {days:.0f} days" if days >= 1 else "for less than a day"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
