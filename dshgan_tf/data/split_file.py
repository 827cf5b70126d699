"""A split as it was drawn, read back from the `splits.json` of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.data.sources import read
from dshgan_tf.data.splits import PARTS, Classes, Splits, assemble, checksum
from dshgan_tf.errors import InputError
from dshgan_tf.labels import check_labels


def read_splits(
    path: str | Path,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    data_dir: str | None = None,
    fields: tuple[str, str] = ("image", "label"),
) -> Splits:
    """Read back the split that a `splits.json` describes, whatever today's code would draw.

    Args:
        path: a file that holds `Splits.describe()`.
        images: (N, H, W, C) uint8 of a split made by `from_arrays`; named data sets are read again.
        labels: (N,) or (N, classes), likewise.
        data_dir: where a named data set lies, see `read`.
        fields: see `read`.

    Returns:
        The splits, their disjointness checked.

    Raises:
        ValueError: the file cannot be read or was altered, a part leaks into another, or the data set's labels are
            not those that were split.
    """
    try:
        there = json.loads(Path(path).read_text())
        ids = {part: there["ids"][part] for part in PARTS}
        names = (tuple(there["class_names"]), tuple(there["unseen_names"]))
        dataset, protocol, seed = (there[key] for key in ("dataset", "protocol", "seed"))
        sums = (there["sha256"], there["labels_sha256"])
        shape = there["image_shape"]
        _check_types(ids, names, dataset, protocol, seed, shape)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"cannot read splits from {path} ({error!r}); give a splits.json of a run") from error
    if checksum(ids) != sums[0]:
        raise InputError(f"the ids in {path} do not have its checksum: the file was altered; restore it")
    if images is None or labels is None:
        concepts = 81 if protocol == "nuswide-81" else 21
        height, width, _ = shape
        side = height if height == width else None
        source = read(dataset, data_dir, side, concepts, fields)
        images, labels, all_names = source.images, source.labels, source.class_names
    else:
        all_names = names[0] + names[1]
        try:
            labels, _ = check_labels(labels, len(images), len(all_names))
        except ValueError as error:
            raise InputError(f"the labels given are not those of {path}: {error}") from error
    size = len(images)
    for part, values in ids.items():
        if any(not 0 <= value < size for value in values):
            raise InputError(f"{part} in {path} names images outside 0..{size - 1}: the data set is another one")
    if sorted(names[0] + names[1]) != sorted(all_names):
        raise InputError(f"the classes in {path} are not those of {dataset!r}: the file was altered; restore it")
    order = np.array([all_names.index(class_name) for class_name in names[0] + names[1]])
    try:
        splits = assemble(images, labels, ids, Classes(*names, order), dataset, protocol, seed)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if splits.describe()["labels_sha256"] != sums[1]:
        raise InputError(f"the labels of {dataset!r} are not those that {path} was made from: the data set changed")
    return splits


def _check_types(
    ids: dict[str, Any], names: tuple[Any, ...], dataset: Any, protocol: Any, seed: Any, shape: Any
) -> None:
    texts = [dataset, protocol, *names[0], *names[1]]
    lists = all(isinstance(values, list) and all(type(value) is int for value in values) for values in ids.values())
    if not lists or not all(isinstance(text, str) for text in texts) or type(seed) is not int:
        raise InputError("ids must be lists of whole numbers, names texts, and the seed a whole number")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise InputError(f"image_shape must be three positive whole numbers, got {shape!r}")
