"""The image files of a folder, and what else lies there."""

from __future__ import annotations

import collections
import os
from pathlib import Path

from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import SUFFIXES


def find_images(folder: Path) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """List the image files of a folder and of those in it; hidden ones are passed over.

    Args:
        folder: where to look.

    Returns:
        Name relative to the folder, with forward slashes -> path, sorted; and suffix -> names of the files that are
        not read, most first.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a folder of image files")
    found, foreign = {}, collections.defaultdict(list)
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(root, name)
            if name.startswith(".") or not path.is_file():
                continue
            relative = path.relative_to(folder).as_posix()
            if path.suffix.lower() in SUFFIXES:
                found[relative] = path
            else:
                foreign[path.suffix.lower() or "no suffix"].append(relative)
    most_first = sorted(foreign.items(), key=lambda item: (-len(item[1]), item[0]))
    return dict(sorted(found.items())), {suffix: sorted(names) for suffix, names in most_first}
