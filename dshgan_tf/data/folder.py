"""An image folder: one subfolder a class; images that lie in the folder itself are unlabelled."""

from __future__ import annotations

from pathlib import Path

from dshgan_tf.data.listing import Listing
from dshgan_tf.errors import InputError
from dshgan_tf.images.find_images import find_images


def list_folder(root: str | Path) -> Listing:
    """List the images of a folder.

    Args:
        root: the folder; every subfolder with images is a class, deeper ones count for the first.

    Returns:
        The files, sorted by name, hidden ones left out; those of other formats are named as skipped.

    Raises:
        ValueError: no such folder, or fewer than two classes.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is no folder; give --data-dir a folder with one subfolder a class")
    found, foreign = find_images(root)
    labels = [tuple(name.split("/")[:-1][:1]) for name in found]
    classes = sorted({label for row in labels for label in row})
    skipped = {name: f"{suffix} files are not read" for suffix, names in foreign.items() for name in names}
    return Listing(root, tuple(found), tuple(labels), tuple(classes), skipped)
