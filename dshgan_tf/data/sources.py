"""Where images come from: digits, CIFAR-10 through TFDS, image files with their labels, arrays in memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dshgan_tf.data.folder import list_folder
from dshgan_tf.data.listing import Listing
from dshgan_tf.data.nuswide import list_nuswide
from dshgan_tf.data.pictures import decode, find_shape, sample
from dshgan_tf.data.protocols import Protocol, get_protocol, split
from dshgan_tf.data.source import Source
from dshgan_tf.data.splits import Splits
from dshgan_tf.data.table import list_table
from dshgan_tf.data.tfds import read_tfds
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import WHITE
from dshgan_tf.images.preprocessing import check_images
from dshgan_tf.labels import check_labels, multi_hot

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_digits() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read scikit-learn's 1,797 scans of handwritten digits; no download.

    Returns:
        Images (1797, 8, 8, 1) uint8 (0..16 scaled to 0..255), labels (1797,), names.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return images, digits.target.astype(np.int64), tuple("0123456789")


def read_cifar10(data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read CIFAR-10, train and test pooled, through `tfds.load`.

    Args:
        data_dir: TFDS folder; None for `TFDS_DATA_DIR` or TFDS' default. TFDS downloads what is not there.

    Returns:
        Images (60000, 32, 32, 3) uint8, labels (60000,), names.
    """
    import tensorflow_datasets as tfds

    parts = tfds.load("cifar10", split=["train", "test"], data_dir=data_dir, batch_size=-1)
    arrays = tfds.as_numpy(parts)
    images = np.concatenate([part["image"] for part in arrays])
    labels = np.concatenate([part["label"] for part in arrays]).astype(np.int64)
    return images, labels, CIFAR10_NAMES


DATASETS = ("digits", "cifar10", "folder", "table", "nuswide")
FIXED_SIDES = {"digits": 8, "cifar10": 32}  # of images that are taken as they are
OF_READ = ("fields", "ground")
OF_PROTOCOL = ("queries_per_class", "unseen_classes", "unlabeled_unseen", "validation")
TFDS = "tfds:"  # before the name of any data set of TensorFlow Datasets


def read(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    concepts: int = 21,
    fields: tuple[str, str] = ("image", "label"),
    ground: int = WHITE,
) -> Source:
    """Read a data set by name.

    Args:
        name: "digits", "cifar10", "folder" (one subfolder a class), "table" (CSV or Parquet), "nuswide", or "tfds:NAME"
            for any data set of TensorFlow Datasets.
        data_dir: where it lies: TFDS' folder for "cifar10" and "tfds:NAME", the folder of "folder" and "nuswide", the
            file of "table".
        image_size: side that images are resized to; None to choose (see `pictures.find_shape`). "digits" and "cifar10"
            are taken as they are.
        concepts: of "nuswide".
        fields: of "tfds:NAME", the features with the image and with the label or labels.
        ground: grey level that shows where an image file is transparent.

    Returns:
        The data.

    Raises:
        ValueError: unknown name, no data_dir, a size that the data do not have, or data that cannot be read.
    """
    if name.startswith(TFDS):
        return Source(*read_tfds(name.removeprefix(TFDS), data_dir, image_size, *fields, ground))
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise InputError(f"unknown data set {name!r}; choose from {known}, tfds:NAME, or use data.from_arrays")
    side = FIXED_SIDES.get(name)
    if side is not None and image_size not in (None, side):
        raise InputError(f"{name} has images of {side} pixels, got image_size {image_size}; leave --image-size out")
    if name == "digits":
        return Source(*read_digits())
    if name == "cifar10":
        return Source(*read_cifar10(data_dir))
    if data_dir is None:
        raise InputError(f"data set {name!r} needs data_dir (--data-dir), where it lies")
    if name == "nuswide":
        return read_files(list_nuswide(data_dir, concepts), image_size, placeholders=True, ground=ground)
    return read_files(list_folder(data_dir) if name == "folder" else list_table(data_dir), image_size, ground=ground)


def read_files(
    listing: Listing, image_size: int | None = None, placeholders: bool = False, ground: int = WHITE
) -> Source:
    """Decode listed files; what cannot be used is left out and named.

    Args:
        listing: files and labels.
        image_size: side that they are resized to; None to choose.
        placeholders: as `pictures.decode`.
        ground: as `pictures.decode`.

    Returns:
        The data; the images are a memory map.

    Raises:
        ValueError: no file can be decoded.
    """
    looked_at = [listing.root / listing.names[position] for position in sample(len(listing.names))]
    try:
        found = decode(listing, find_shape(looked_at, image_size), placeholders, ground)
    except ValueError as error:
        raise InputError(f"{listing.root}: {error}") from error
    skipped = {**listing.skipped, **found.skipped}
    return Source(
        found.images,
        listing.label_array()[found.kept],
        listing.class_names,
        skipped,
        found.blank,
        found.same,
        None if listing.sides is None else np.array(listing.sides)[found.kept],
        None if listing.groups is None else np.unique(listing.groups, return_inverse=True)[1][found.kept],
    )


def _protocol_of(name: str, protocol: str | None, source: Source) -> Protocol:
    """The protocol asked for, or the one that fits the data."""
    own = TFDS.rstrip(":") if name.startswith(TFDS) else name
    if own in ("folder", "table", "tfds"):
        if protocol not in (None, own):
            raise InputError(f"protocol {protocol!r} is not for data set {name!r}; leave it out")
        counts = multi_hot(source.labels, len(source.class_names)).sum(axis=0)
        # A tenth of the rarest class asks, at most 100 images; the rest of what has labels trains and is searched.
        return Protocol(own, queries_per_class=int(np.clip(counts.min() // 10, 1, 100)), labels_per_class=None)
    chosen = get_protocol(protocol or ("nuswide-21" if name == "nuswide" else name))
    if chosen.name.split("-")[0] != name:
        raise InputError(f"protocol {chosen.name!r} is not for data set {name!r}")
    return chosen


def load(
    name: str,
    labels_per_class: int | None = None,
    seed: int = 0,
    protocol: str | None = None,
    data_dir: str | None = None,
    image_size: int | None = None,
    **more: Any,
) -> Splits:
    """Load a data set by name and split it.

    Args:
        name: see `read`.
        labels_per_class: labels used a class, validation included; None for the protocol's own number.
        seed: of the split.
        protocol: name of the protocol; None for the one that fits the data set.
        data_dir: see `read`.
        image_size: see `read`.
        **more: `fields` and `ground` as in `read`, or fields of `Protocol` that are to be others: `queries_per_class`,
            `unseen_classes`, `unlabeled_unseen` and `validation`.

    Returns:
        The splits.

    Raises:
        ValueError: unknown name, protocol or field, more labels asked for than there are, or data that cannot be read.
    """
    if unknown := sorted(set(more) - {*OF_READ, *OF_PROTOCOL}):
        known = ", ".join((*OF_READ, *OF_PROTOCOL))
        raise InputError(f"load got {', '.join(unknown)}; beside its own arguments it takes {known}")
    if name in ("digits", "cifar10"):
        _protocol_of(name, protocol, None)  # before anything is read
    of_read = {field: more[field] for field in OF_READ if field in more}
    source = read(name, data_dir, image_size, 81 if protocol == "nuswide-81" else 21, **of_read)
    chosen = _protocol_of(name, protocol, source)
    changes = {"labels_per_class": labels_per_class, **{field: more.get(field) for field in OF_PROTOCOL}}
    given = {field: value for field, value in changes.items() if value is not None}
    return split(source, dataclasses.replace(chosen, **given), seed, name)


def from_arrays(
    images: Any,
    labels: Any,
    queries_per_class: int = 100,
    labels_per_class: int | None = 10,
    seed: int = 0,
    class_names: tuple[str, ...] | None = None,
    validation: bool = True,
) -> Splits:
    """Split images in memory.

    Args:
        images: (N, H, W, C) uint8, or float in 0..255; C 1 or 3.
        labels: class ids (N,), -1 where unknown, or multi-hot (N, L).
        queries_per_class: images a class that become queries.
        labels_per_class: labels used a class, validation included; None for all.
        seed: of the split.
        class_names: L names; None for the numbers.
        validation: False lets the labels train that else validate.

    Returns:
        The splits; the database is everything labelled that is no query.

    Raises:
        ValueError: images or labels that do not fit, or a class with too few images.
    """
    array = check_images(images)
    if array.dtype != np.uint8:
        if array.size and array.max() <= 1:
            raise InputError(f"float images lie within 0..{array.max():.3g}; multiply them by 255 (0..255 is expected)")
        array = np.rint(array).astype(np.uint8)
    labels, num_classes = check_labels(labels, len(array), len(class_names) if class_names else None)
    names = class_names or tuple(str(i) for i in range(num_classes))
    protocol = Protocol("arrays", queries_per_class, labels_per_class, validation=validation)
    return split(Source(array, labels, names), protocol, seed, "arrays")
