"""Bring an index up to date with a folder or with a run's database: add, hash again, drop; name what is broken."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.images.find_images import find_images
from dshgan_tf.images.picture_files import SUFFIXES, open_picture, to_image
from dshgan_tf.images.preprocessing import to_uint8
from dshgan_tf.parallel import in_order
from dshgan_tf.search.image_index import ImageIndex
from dshgan_tf.search.image_store import ADDED, DATABASE, FOLDER, Stored
from dshgan_tf.search.thumbnails import picture_of, thumbnail_of

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
BATCH = 64  # images hashed together and stored in one transaction


@dataclasses.dataclass
class Update:
    """What an update did.

    Args:
        added: images that are new.
        changed: images that were hashed again.
        removed: images whose file is gone.
        unchanged: images that were there already.
        broken: name -> reason of the files that cannot be read.
        foreign: suffix -> number of the files that are no image that is read.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    foreign: dict[str, int] = dataclasses.field(default_factory=dict)


def update_from_folder(index: ImageIndex, folder: Path, show: Progress = lambda items, _: items) -> Update:
    """Make the index hold what a folder holds. Killed at any moment, the same call goes on.

    A file counts as changed when its size or time did. One that was broken is tried again. Images that were added by
    hand stay.

    Args:
        index: to bring up to date, writable.
        folder: of the images.
        show: is given what is to be hashed and its length, and yields the same; for a progress bar.

    Returns:
        What was done.

    Raises:
        InputError: no such folder, no image in it, or the folder of another index.
    """
    found, foreign = find_images(folder)
    known = index.store.files()
    if not found:
        raise InputError(f"{folder} holds no image files ({', '.join(SUFFIXES)}), so nothing was changed")
    if known and not set(known) & set(found):
        raise InputError(
            f"{index.folder} holds {len(known)} files, and none of them is in {folder}; give the folder that it was "
            "made from, or another --output"
        )
    states = {name: (status.st_size, status.st_mtime_ns) for name, status in _states(found)}
    waiting = [name for name, state in states.items() if name not in known or known[name][1:] != state]
    gone = [item for name, (item, _, _) in known.items() if name not in states]
    update = Update(removed=len(gone), unchanged=len(states) - len(waiting))
    update.foreign = {suffix: len(names) for suffix, names in foreign.items()}
    index.store.remove(gone)

    def read(name: str) -> tuple[str, Any]:
        try:
            picture = open_picture(found[name], ground=index.ground)
            return name, (to_uint8(to_image(picture, index.image_shape)), thumbnail_of(picture))
        except InputError as error:
            return name, str(error).replace(str(found[name]), name)  # no path of this machine

    shown = show(waiting, len(waiting))
    for batch in _in_batches(in_order(read, ((name,) for name in shown))):
        hashed = _hash(index, [value for _, value in batch if not isinstance(value, str)])
        rows = [
            Stored(name, FOLDER, *states[name], error=value)
            if isinstance(value, str)
            else Stored(name, FOLDER, *states[name], *next(hashed))
            for name, value in batch
        ]
        index.store.put(rows)
        for name, value in batch:
            if not isinstance(value, str):
                update.changed += name in known
                update.added += name not in known
    index.save_codes()
    update.broken = index.store.broken()
    return update


def _states(found: dict[str, Path]) -> Iterator[tuple[str, os.stat_result]]:
    for name, path in found.items():
        try:
            yield name, path.stat()
        except OSError:  # gone since it was listed
            continue


def update_from_arrays(
    index: ImageIndex, images: Any, names: list[str], show: Progress = lambda items, _: items
) -> Update:
    """Make the index hold images that lie in an array, such as a run's database.

    Args:
        index: to bring up to date, writable.
        images: (N, H, W, C) uint8, or a sequence that decodes on slicing.
        names: N of them, which tell the images apart.
        show: as in `update_from_folder`.

    Returns:
        What was done.
    """
    done = index.store.named()
    waiting = [position for position, name in enumerate(names) if name not in done]
    starts = range(0, len(waiting), BATCH)
    for start in show(starts, len(starts)):
        places = waiting[start : start + BATCH]
        batch = np.asarray(images[np.array(places)])
        hashed = _hash(index, [(image, thumbnail_of(picture_of(image))) for image in batch])
        index.store.put([Stored(names[place], DATABASE, None, None, *next(hashed)) for place in places])
    index.save_codes()
    return Update(added=len(waiting), unchanged=len(names) - len(waiting))


def add_picture(index: ImageIndex, name: str, contents: bytes) -> int:
    """Add one picture by hand.

    Args:
        index: writable.
        name: what it is to be called; a number is added where the name is taken.
        contents: of the file.

    Returns:
        Its id.

    Raises:
        InputError: the contents are no image.
    """
    picture = open_picture(name, contents, index.ground)
    taken, number, unique = index.store.named(), 1, name
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    hashed = _hash(index, [(to_uint8(to_image(picture, index.image_shape)), thumbnail_of(picture))])
    index.store.put([Stored(unique, ADDED, len(contents), None, *next(hashed))])
    return index.store.named()[unique]


def _in_batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _hash(
    index: ImageIndex, pictures: list[tuple[np.ndarray, bytes]]
) -> Iterator[tuple[np.ndarray, np.ndarray, bytes]]:
    """Yield code, probabilities and thumbnail of each image."""
    if not pictures:
        return
    streams = index.batch_encoder.predict_streams(np.stack([image for image, _ in pictures]))
    logits = streams["class_logits"]
    if index.manifest["multi_label"]:
        probabilities = 1 / (1 + np.exp(-logits))
    else:
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = grown / grown.sum(axis=1, keepdims=True)
    yield from zip(streams["codes"], probabilities, [thumbnail for _, thumbnail in pictures], strict=True)
