"""Image files decoded once, in parallel, into one array on disk, so that memory does not grow with their number."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dshgan_tf.data.listing import Listing
from dshgan_tf.files import atomic_path, write_json
from dshgan_tf.preprocessing import read_image

LARGEST_SIDE = 64  # of the side that is chosen for the user; give image_size for more
SAMPLED = 500  # files whose size and mode decide the shape


def find_shape(listing: Listing, image_size: int | None = None) -> tuple[int, int, int]:
    """Choose the shape that images are resized to.

    Where nine in ten files have one size, up to 64 pixels a side, that is it. Otherwise images become squares of the
    power of two at or below the median of their shorter sides, 8 to 64. They are grey where all of them are.

    Args:
        listing: the files.
        image_size: side of the square, or None to choose.

    Returns:
        (H, W, C).

    Raises:
        ValueError: none of the files looked at is an image.
    """
    from PIL import Image

    step = max(1, len(listing.names) // SAMPLED)
    sizes, modes = [], set()
    for name in listing.names[::step]:
        with contextlib.suppress(Exception), Image.open(listing.root / name) as image:
            sizes.append(image.size[::-1])
            modes.add(image.mode)
    if not sizes:
        raise ValueError(f"none of the files in {listing.root}, {listing.names[0]!r} for one, is an image")
    channels = 1 if modes <= {"1", "L", "LA", "I;16", "I;16B", "I", "F"} else 3
    if image_size is not None:
        return image_size, image_size, channels
    ((common, count),) = collections.Counter(sizes).most_common(1)
    if count >= 0.9 * len(sizes) and max(common) <= LARGEST_SIDE:
        return *common, channels
    median = float(np.median([min(size) for size in sizes]))
    side = int(2 ** np.clip(np.floor(np.log2(median)), 3, np.log2(LARGEST_SIDE)))
    return side, side, channels


def decode(
    listing: Listing, image_shape: tuple[int, int, int], placeholders: bool = False
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Decode, convert and resize every file, or find it done.

    The array lies in `$XDG_CACHE_HOME/dshgan_tf` (`~/.cache` by default), under a name made of the files' names, sizes
    and times, so that changed files are decoded again.

    Args:
        listing: the files.
        image_shape: (H, W, C) wanted.
        placeholders: skip files whose bytes more than five files share, as Flickr's "unavailable" picture.

    Returns:
        Images (N, H, W, C) uint8, a memory map; (N,) the positions in the listing that they are of; and the files that
        are skipped, each with the reason.

    Raises:
        ValueError: no file can be decoded.
    """
    stem = _cache_folder() / _fingerprint(listing, image_shape, placeholders)
    if not stem.with_suffix(".json").exists():
        _decode_all(listing, image_shape, placeholders, stem)
    about = json.loads(stem.with_suffix(".json").read_text())
    kept = np.array(about["kept"], np.int64)
    if not len(kept):
        raise ValueError(f"no file of {listing.root} can be decoded; {next(iter(about['skipped'].items()), '')}")
    images = np.load(stem.with_suffix(".npy"), mmap_mode="r")
    return images[: len(kept)], kept, about["skipped"]


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dshgan_tf"


def _fingerprint(listing: Listing, image_shape: tuple[int, int, int], placeholders: bool) -> str:
    digest = hashlib.sha256(json.dumps([str(listing.root.resolve()), image_shape, placeholders]).encode())
    for name in listing.names:
        try:
            status = (listing.root / name).stat()
            digest.update(f"{name}\x00{status.st_size}\x00{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{name}\x00missing\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _decode_all(listing: Listing, image_shape: tuple[int, int, int], placeholders: bool, stem: Path) -> None:
    """Write the array, then the account of it, which says that the array is whole."""

    def one(name: str) -> np.ndarray | str:
        path = listing.root / name
        try:
            if not path.is_file():
                return "missing"
            return np.rint(read_image(str(path), image_shape)).astype(np.uint8)
        except ValueError as error:
            return str(error)

    skipped, kept = {}, []
    unavailable = _shared_bytes(listing) if placeholders else set()
    with atomic_path(stem.with_suffix(".npy")) as path:
        shape = (len(listing.names), *image_shape)
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for position, result in enumerate(_in_parallel(one, listing.names)):
            name = listing.names[position]
            if name in unavailable:
                result = "a placeholder: more than five files have the same bytes"
            if isinstance(result, str):
                skipped[name] = result
            else:
                images[len(kept)] = result
                kept.append(position)
        images.flush()
    write_json(stem.with_suffix(".json"), {"kept": kept, "skipped": skipped})


def _in_parallel(work, names: Iterable[str], ahead: int = 256) -> Iterator[np.ndarray | str]:
    """Results in order, a bounded number of them ahead; Pillow decodes outside the interpreter's lock."""
    from rich.progress import track

    names = list(names)
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        for name in track(names, "decoding images", disable=not sys.stderr.isatty()):
            waiting.append(pool.submit(work, name))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _shared_bytes(listing: Listing) -> set[str]:
    """Files whose bytes more than five files share; only those of a common size are read."""
    by_size = collections.defaultdict(list)
    for name in listing.names:
        with contextlib.suppress(OSError):
            by_size[(listing.root / name).stat().st_size].append(name)
    shared = set()
    for names in by_size.values():
        if len(names) > 5:
            by_bytes = collections.defaultdict(list)
            for name in names:
                by_bytes[hashlib.sha256((listing.root / name).read_bytes()).digest()].append(name)
            shared |= {name for same in by_bytes.values() if len(same) > 5 for name in same}
    return shared
