"""Any data set of TensorFlow Datasets by its name, all its splits pooled; its files are decoded by our own reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.data.pictures import READING, decode_once, find_shape, sample
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import WHITE

MOST_CLASSES = 100_000


def read_tfds(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    image_field: str = "image",
    label_field: str = "label",
    ground: int = WHITE,
) -> tuple[Any, ...]:
    """Read a data set through `tfds.builder`; TFDS downloads what is not there.

    Args:
        name: as TFDS takes it, "mnist" or "mnist:3.0.1" for example.
        data_dir: TFDS folder; None for `TFDS_DATA_DIR` or TFDS' default.
        image_size: side that images are resized to; None to choose (see `pictures.find_shape`).
        image_field: name of the feature with the image.
        label_field: name of the feature with the label: a class, a sequence of classes, or a whole number; -1 is
            unlabelled.
        ground: grey level that shows where an image is transparent.

    Returns:
        Images (N, H, W, C) uint8, a memory map; class ids (N,) or multi-hot rows (N, L); L names; the images that
        cannot be decoded, named SPLIT/NUMBER, with the reason; the blank ones; and groups of places of equal ones.

    Raises:
        ValueError: no such data set, no such fields, or fields of another kind.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
        features = builder.info.features
        _check(features, image_field, label_field)
        only = {image_field: features[image_field], label_field: features[label_field]}
    except Exception as error:  # TFDS raises whatever is wrong with a name, a folder or a download
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot read data set {name!r} of TFDS: {reason}") from error

    def examples() -> Iterator[tuple[str, bytes, Any]]:
        for split in sorted(builder.info.splits):
            dataset = builder.as_dataset(
                split=split,
                shuffle_files=False,
                decoders=tfds.decode.PartialDecoding(only, {image_field: tfds.decode.SkipDecoding()}),
                read_config=tfds.ReadConfig(interleave_cycle_length=1),
            )
            for number, example in enumerate(tfds.as_numpy(dataset)):
                yield f"{split}/{number}", example[image_field], example[label_field]

    try:
        return _read(examples, builder, image_field, features[label_field], image_size, ground)
    except tf.errors.OpError as error:
        raise InputError(f"cannot read data set {name!r} of TFDS: its files are damaged ({error.message})") from error


def _read(
    examples: Callable[[], Iterator[tuple[str, bytes, Any]]],
    builder: Any,
    image_field: str,
    label: Any,
    image_size: int | None,
    ground: int,
) -> tuple[Any, ...]:
    """Go over the examples twice: for labels and the sizes of images, then, unless that is done, to decode."""
    count = sum(builder.info.splits[split].num_examples for split in builder.info.splits)
    looked_at = set(sample(count))
    raw_labels, some = [], []
    for position, (_, contents, value) in enumerate(examples()):
        raw_labels.append(value)
        if position in looked_at:
            some.append(contents)
    shape = find_shape(some, image_size)
    key = [
        READING,
        builder.info.full_name,
        str(builder.data_dir),
        image_field,
        shape,
        count,
        _state_of(builder.data_dir),
        ground,
    ]
    fingerprint = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    found = decode_once(
        lambda: (example[:2] for example in examples()), count, shape, fingerprint, builder.info.full_name, ground
    )
    labels, names = _labels(raw_labels, label)
    return found.images, labels[found.kept], names, found.skipped, found.blank, found.same


def _state_of(folder: Any) -> list[tuple[str, int, int]]:
    """Name, size and time of every file, so that a data set that was made anew is decoded anew."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _check(features: Any, image_field: str, label_field: str) -> None:
    import tensorflow_datasets as tfds

    for option, field in (("image_field", image_field), ("label_field", label_field)):
        if field not in features:
            raise InputError(f"it has no field {field!r}; give one of {', '.join(sorted(features))} as {option}")
    if not isinstance(features[image_field], tfds.features.Image):
        raise InputError(f"field {image_field!r} holds no images; give another image_field")
    if np.dtype(features[image_field].np_dtype) not in (np.uint8, np.uint16):
        raise InputError(f"field {image_field!r} holds pixels of {features[image_field].np_dtype}, not of 8 or 16 bits")
    label = features[label_field]
    inner = label.feature if isinstance(label, tfds.features.Sequence) else label
    if inner.shape != () or not np.issubdtype(np.dtype(inner.np_dtype), np.integer):
        raise InputError(f"field {label_field!r} holds no classes; give another label_field")


def _labels(raw: list[Any], feature: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Ids or multi-hot rows, and the names of the classes."""
    several = hasattr(feature, "feature")
    inner = feature.feature if several else feature
    names = tuple(getattr(inner, "names", None) or ())
    if not names:
        largest = max((int(np.max(label, initial=-1)) for label in raw), default=-1)
        if largest >= MOST_CLASSES:
            raise InputError(f"the labels go up to {largest}, which is no class; give another label_field")
        names = tuple(str(number) for number in range(largest + 1))
    if not several:
        return np.array([int(label) for label in raw], np.int64), names
    rows = np.zeros((len(raw), len(names)), np.uint8)
    for row, label in zip(rows, raw, strict=True):
        label = np.asarray(label, np.int64)
        row[label[label >= 0]] = 1
    return rows, names
