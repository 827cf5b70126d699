"""Image files decoded once, in parallel, into one array on disk, so that memory does not grow with their number."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dshgan_tf.cache import keep_to_limit, use_entry
from dshgan_tf.data.listing import Listing
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path, write_json
from dshgan_tf.images.picture_files import WHITE, look_at, read_image
from dshgan_tf.images.preprocessing import to_uint8
from dshgan_tf.parallel import in_order

READING = 2  # raised whenever the same file comes to give other pixels
LARGEST_SIDE = 64  # of the side that is chosen for the user; give image_size for more
SAMPLED = 500  # files whose size and mode decide the shape


class Decoded(NamedTuple):
    """Image files as an array.

    Attributes:
        images: (N, H, W, C) uint8, a memory map.
        kept: (N,) positions of these among the files.
        skipped: the other files, each with the reason.
        blank: those of the files that show one colour alone, which nobody can tell apart.
        same: groups of rows of `images` with equal pixels, the blank ones left out.
    """

    images: np.ndarray
    kept: np.ndarray
    skipped: dict[str, str]
    blank: tuple[str, ...]
    same: tuple[tuple[int, ...], ...]


def find_shape(files: Iterable[str | Path | bytes], image_size: int | None = None) -> tuple[int, int, int]:
    """Choose the shape that images are resized to.

    Where nine in ten files have one size, up to 64 pixels a side, that is it. Otherwise images become squares of the
    power of two at or below the median of their shorter sides, 8 to 64. They are grey where all of them are.

    Args:
        files: image files that are looked at, paths or contents; `sample` chooses them.
        image_size: side of the square, or None to choose.

    Returns:
        (H, W, C).

    Raises:
        ValueError: none of the files is an image.
    """
    sizes, grey = [], []
    for file in files:
        with contextlib.suppress(InputError):
            size, is_grey = look_at(file)
            sizes.append(size)
            grey.append(is_grey)
    if not sizes:
        raise InputError("none of the files that were looked at is an image")
    channels = 1 if all(grey) else 3
    if image_size is not None:
        return image_size, image_size, channels
    ((common, count),) = collections.Counter(sizes).most_common(1)
    if count >= 0.9 * len(sizes) and max(common) <= LARGEST_SIDE:
        return *common, channels
    median = float(np.median([min(size) for size in sizes]))
    side = int(2 ** np.clip(np.floor(np.log2(median)), 3, np.log2(LARGEST_SIDE)))
    return side, side, channels


def sample(count: int) -> range:
    """Positions of about `SAMPLED` of `count` files, evenly apart."""
    return range(0, count, max(1, count // SAMPLED))


def decode(
    listing: Listing, image_shape: tuple[int, int, int], placeholders: bool = False, ground: int = WHITE
) -> Decoded:
    """Decode, convert and resize every listed file, or find it done.

    The array is kept in the cache, under a name made of the files' names, sizes and times, so that changed files are
    decoded again.

    Args:
        listing: the files.
        image_shape: (H, W, C) wanted.
        placeholders: skip files whose bytes more than five files share, as Flickr's "unavailable" picture.
        ground: grey level that shows where a file is transparent.

    Returns:
        The images.

    Raises:
        ValueError: no file can be decoded.
    """

    def files() -> Iterator[tuple[str, Path | str]]:
        unavailable = _shared_bytes(listing) if placeholders else set()
        for name in listing.names:
            path = listing.root / name
            if name in unavailable:
                yield name, "a placeholder: more than five files have the same bytes"
            else:
                yield name, path if path.is_file() else "missing"

    fingerprint = _fingerprint(listing, image_shape, placeholders, ground)
    return decode_once(files, len(listing.names), image_shape, fingerprint, str(listing.root), ground)


def decode_once(
    files: Callable[[], Iterable[tuple[str, Path | bytes | str]]],
    count: int,
    image_shape: tuple[int, int, int],
    fingerprint: str,
    source: str,
    ground: int = WHITE,
) -> Decoded:
    """Decode, convert and resize every file in parallel, or find it done under the fingerprint.

    Args:
        files: names, each with its path, its contents, or the reason why it is left out.
        count: how many.
        image_shape: (H, W, C) wanted.
        fingerprint: name of the array, another one where anything differs.
        source: of the files, for people.
        ground: as in `decode`.

    Returns:
        The images.

    Raises:
        ValueError: no file can be decoded.
    """
    stem = use_entry("images", fingerprint, f"{source}, {image_shape[0]} x {image_shape[1]}") / "decoded"
    if not stem.with_suffix(".json").exists():
        _decode_all(files(), count, image_shape, stem, ground)
        keep_to_limit()
    about = json.loads(stem.with_suffix(".json").read_text())
    kept = np.array(about["kept"], np.int64)
    if not len(kept):
        raise InputError(f"no file can be decoded; {next(iter(about['skipped'].items()), '')}")
    images = np.load(stem.with_suffix(".npy"), mmap_mode="r")
    return Decoded(images[: len(kept)], kept, about["skipped"], tuple(about["blank"]), tuple(map(tuple, about["same"])))


def _fingerprint(listing: Listing, image_shape: tuple[int, int, int], placeholders: bool, ground: int) -> str:
    reading = [READING, str(listing.root.resolve()), image_shape, placeholders, ground]
    digest = hashlib.sha256(json.dumps(reading).encode())
    for name in listing.names:
        try:
            status = (listing.root / name).stat()
            digest.update(f"{name}\x00{status.st_size}\x00{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{name}\x00missing\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _decode_all(
    files: Iterable[tuple[str, Path | bytes | str]],
    count: int,
    image_shape: tuple[int, int, int],
    stem: Path,
    ground: int,
) -> None:
    """Write the array, then the account of it, which says that the array is whole."""

    def one(name: str, file: Path | bytes | str) -> tuple[str, np.ndarray | str]:
        try:
            if isinstance(file, str):
                return name, file
            contents = file if isinstance(file, bytes) else None
            image = read_image(name if contents is not None else str(file), image_shape, contents, ground)
            return name, to_uint8(image)
        except ValueError as error:  # the key in `skipped` is the name of the file
            return name, str(error).replace(f" {file if isinstance(file, Path) else name}", "", 1)

    from rich.progress import track

    skipped, kept, blank, rows_of = {}, [], [], collections.defaultdict(list)
    with atomic_path(stem.with_suffix(".npy")) as path:
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, *image_shape))
        shown = track(files, "decoding images", total=count, disable=not sys.stderr.isatty())
        for position, (name, result) in enumerate(in_order(one, shown)):
            if isinstance(result, str):
                skipped[name] = result
            else:
                images[len(kept)] = result
                kept.append(position)
                if (result == result[:1, :1]).all():
                    blank.append(name)
                else:
                    rows_of[hashlib.blake2b(result.tobytes(), digest_size=16).digest()].append(len(kept) - 1)
        images.flush()
    same = [rows for rows in rows_of.values() if len(rows) > 1]
    write_json(stem.with_suffix(".json"), {"kept": kept, "skipped": skipped, "blank": blank, "same": same})


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
