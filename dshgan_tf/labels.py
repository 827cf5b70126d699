"""Labels as class ids or as multi-hot rows: checked, named, and turned into each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dshgan_tf.errors import InputError


def rows_named(names: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Return label rows for names.

    Args:
        names: N of them, each of one class, or of several with `|` between them.
        class_names: L names.

    Returns:
        (N, L) uint8 multi-hot.

    Raises:
        ValueError: no such class.
    """
    rows = np.zeros((len(names), len(class_names)), np.uint8)
    for row, name in zip(rows, names, strict=True):
        for label in [name] if name in class_names else name.split("|"):
            if label not in class_names:
                raise InputError(f"no class {label!r}; there are {', '.join(class_names)}")
            row[list(class_names).index(label)] = 1
    return rows


def multi_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Turn class ids or multi-hot rows into (N, L) float32 multi-hot rows.

    Args:
        labels: (N,) int in -1..L-1 (-1: no label), or (N, L) of 0 and 1.
        num_classes: L.

    Returns:
        (N, L) float32.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        return labels.astype(np.float32)
    rows = np.zeros((len(labels), num_classes), np.float32)
    known = np.flatnonzero(labels >= 0)
    rows[known, labels[known]] = 1.0
    return rows


def check_labels(labels: Any, num_images: int, num_classes: int | None = None) -> tuple[np.ndarray, int]:
    """Check labels at the border.

    Args:
        labels: class ids (N,), -1 where unknown, or multi-hot (N, L).
        num_images: N wanted.
        num_classes: L wanted, or None to find it.

    Returns:
        Labels as int64 ids or uint8 multi-hot rows, and the number of classes.

    Raises:
        ValueError: another length, not integers, out of range, or fewer than two classes.
    """
    array = np.asarray(labels)
    if len(array) != num_images:
        raise InputError(f"{len(array)} labels for {num_images} images; give one label (or row) an image")
    if array.ndim not in (1, 2):
        raise InputError(f"labels must be class ids (N,) or multi-hot (N, L), got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer) and array.dtype != bool:
        if not np.issubdtype(array.dtype, np.floating) or not np.array_equal(array, np.rint(array)):
            raise InputError(f"labels must be integers, got dtype {array.dtype}; map class names to 0..L-1 first")
    if array.ndim == 2:
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(f"multi-hot labels must be 0 or 1, got {array.min()}..{array.max()}")
        found, array = array.shape[1], array.astype(np.uint8)
    else:
        array = array.astype(np.int64)
        found = int(array.max(initial=-1)) + 1
        limit = found if num_classes is None else num_classes
        if array.min(initial=0) < -1 or found > limit:
            bad = array.min(initial=0) if array.min(initial=0) < -1 else found - 1
            raise InputError(f"label {bad} is out of range; class ids are 0..{limit - 1}, and -1 where unknown")
    classes = found if num_classes is None else num_classes
    if array.ndim == 2 and array.shape[1] != classes:
        raise InputError(f"multi-hot labels have {array.shape[1]} columns for {classes} classes")
    if classes < 2:
        raise InputError(f"hashing needs at least 2 classes, got {classes}")
    return array, classes
