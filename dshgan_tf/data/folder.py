"""An image folder: one subfolder a class; images that lie in the folder itself are unlabelled."""

from __future__ import annotations

from pathlib import Path

from dshgan_tf.data.listing import Listing
from dshgan_tf.errors import InputError
from dshgan_tf.images.preprocessing import SUFFIXES


def list_folder(root: str | Path) -> Listing:
    """List the images of a folder.

    Args:
        root: the folder; every subfolder with images is a class, deeper ones count for the first.

    Returns:
        The files, sorted by name, hidden ones left out.

    Raises:
        ValueError: no such folder, or fewer than two classes.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is no folder; give --data-dir a folder with one subfolder a class")
    names, labels = [], []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix.lower() in SUFFIXES and path.is_file() and not any(part.startswith(".") for part in parts):
            names.append("/".join(parts))
            labels.append((parts[0],) if len(parts) > 1 else ())
    classes = sorted({label for row in labels for label in row})
    return Listing(root, tuple(names), tuple(labels), tuple(classes))
