"""What a data set looks like after splitting: five parts whose disjointness is checked, not assumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from dshgan_tf.data.rows import Rows


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a data set.

    Args:
        images: (N, H, W, C) uint8, an array or a sequence that decodes on indexing with an integer array.
        labels: class ids (N,) int, multi-hot (N, L) uint8, or None where labels are hidden.
        ids: (N,) int64, position in the whole data set.

    Raises:
        ValueError: lengths differ, or an id stands twice.
    """

    images: Any
    labels: np.ndarray | None
    ids: np.ndarray

    def __post_init__(self) -> None:
        """Validate."""
        lengths = {"images": len(self.images), "ids": len(self.ids)}
        if self.labels is not None:
            lengths["labels"] = len(self.labels)
        if len(set(lengths.values())) != 1:
            raise ValueError(f"images, labels and ids must have one length, got {lengths}")
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            raise ValueError(f"id {values[counts > 1][0]} stands in one part more than once; name each image once")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set split for semi-supervised hashing.

    Args:
        query: images asked for; never trained on, never used to choose anything.
        labeled: images whose labels training sees.
        unlabeled: images whose labels are hidden (`labels` is None).
        database: images searched.
        validation: labelled images that choose checkpoints and hyperparameters; may be empty.
        num_classes: L, at least 2.
        class_names: L names.
        name: of the data set.
        protocol: of the split.
        seed: of the split.
        unseen_names: names of classes that only queries and database have, numbered from L on; () where training
            sees all classes.
        skipped: files of the data set that could not be used, with the reason.

    Raises:
        ValueError: parts that must be disjoint share an image, or a class has no labelled image.
    """

    query: Part
    labeled: Part
    unlabeled: Part
    database: Part
    validation: Part
    num_classes: int
    class_names: tuple[str, ...]
    name: str
    protocol: str
    seed: int
    unseen_names: tuple[str, ...] = ()
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate."""
        if self.unlabeled.labels is not None:
            raise ValueError("unlabeled.labels must be None, so that hidden labels cannot leak into training")
        if len(self.class_names) != self.num_classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.num_classes} classes; give one a class")
        trained = ("labeled", "unlabeled", "validation")
        disjoint = [("query", other) for other in ("database", *trained)]
        disjoint += [("labeled", "unlabeled"), ("labeled", "validation"), ("validation", "unlabeled")]
        if self.unseen_names:
            disjoint += [("database", other) for other in trained]
        for first, second in disjoint:
            shared = np.intersect1d(getattr(self, first).ids, getattr(self, second).ids)
            if len(shared):
                raise ValueError(
                    f"{first} and {second} overlap in {len(shared)} images (first id {shared[0]}); "
                    "an evaluation on such a split is worthless: remove them from one of the two"
                )
        missing = np.flatnonzero(self.multi_hot(self.labeled.labels).sum(axis=0) == 0)
        if len(missing):
            raise ValueError(
                f"class {self.class_names[missing[0]]!r} has no labelled image; "
                "raise labels_per_class or leave the class out"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return tuple(int(side) for side in self.labeled.images.shape[1:])

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.labeled.labels.ndim == 2

    def without_unlabeled(self) -> Splits:
        """Return the same splits with no unlabelled image; the database keeps them."""
        none = Part(self.unlabeled.images[:0], None, self.unlabeled.ids[:0])
        return dataclasses.replace(self, unlabeled=none)

    def multi_hot(self, labels: np.ndarray) -> np.ndarray:
        """Return labels as (N, L) float32 multi-hot rows; an id of -1 is a row of zeros."""
        return multi_hot(labels, self.num_classes)

    def rows_named(self, names: Sequence[str]) -> np.ndarray:
        """Return label rows for names, for `DSHGAN.generate` for example.

        Args:
            names: N of them, each of one class, or of several with `|` between them: "sky|clouds".

        Returns:
            (N, L) uint8 multi-hot.

        Raises:
            ValueError: no such class.
        """
        return rows_named(names, self.class_names)

    @property
    def searched_names(self) -> tuple[str, ...]:
        """Names of all classes that queries and database may have, in the order of their numbers."""
        return self.class_names + self.unseen_names

    def searched_rows(self, labels: np.ndarray) -> np.ndarray:
        """Return labels of queries or database as (N, L + unseen) float32 multi-hot rows."""
        return multi_hot(labels, len(self.searched_names))

    def describe(self) -> dict[str, Any]:
        """Return the ids of every part, checksums of ids and labels, and the names, ready for `splits.json`."""
        ids = {part: getattr(self, part).ids.tolist() for part in PARTS}
        labels = hashlib.sha256()
        for part in PARTS:
            if part != "unlabeled":
                labels.update(np.ascontiguousarray(getattr(self, part).labels, np.int64).tobytes())
        return {
            "dataset": self.name,
            "protocol": self.protocol,
            "seed": self.seed,
            "class_names": list(self.class_names),
            "unseen_names": list(self.unseen_names),
            "sha256": checksum(ids),
            "labels_sha256": labels.hexdigest(),
            "image_shape": list(self.image_shape),
            "skipped": self.skipped,
            "ids": ids,
        }


PARTS = ("query", "labeled", "unlabeled", "database", "validation")


def checksum(ids: dict[str, list[int]]) -> str:
    """Return the SHA-256 of the ids of every part, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()


def assemble(
    images: Any,
    labels: np.ndarray,
    ids: dict[str, np.ndarray],
    *,
    class_names: tuple[str, ...],
    unseen_names: tuple[str, ...],
    order: np.ndarray,
    name: str,
    protocol: str,
    seed: int,
) -> Splits:
    """Make splits from the ids of every part.

    Args:
        images: (N, H, W, C) uint8, the whole data set.
        labels: (N,) ids or (N, classes) multi-hot, as the data set numbers them.
        ids: part -> positions in the data set.
        class_names: L names of the classes that train.
        unseen_names: names of the others.
        order: the data set's numbers of `class_names`, then of `unseen_names`.
        name: of the data set.
        protocol: of the split.
        seed: of the split.

    Returns:
        The checked splits.

    Raises:
        ValueError: as `Splits`.
    """
    seen = len(class_names)
    if labels.ndim == 2:
        labels = labels[:, order]
    else:
        numbers = np.append(np.argsort(order), -1)  # the last is for "no label", -1
        labels = numbers[labels]

    def part(key: str) -> Part:
        chosen = np.sort(np.asarray(ids[key], np.int64))
        rows = labels[chosen]
        if rows.ndim == 2 and unseen_names:
            if key in ("query", "database"):
                rows = np.where(np.arange(rows.shape[1]) < seen, 0, rows).astype(rows.dtype)
            else:
                rows = rows[:, :seen]
        # What lies on disk stays there.
        images_of_part = Rows(images, chosen) if isinstance(images, np.memmap) else images[chosen]
        return Part(images_of_part, None if key == "unlabeled" else rows, chosen)

    return Splits(
        **{key: part(key) for key in PARTS},
        num_classes=seen,
        class_names=class_names,
        name=name,
        protocol=protocol,
        seed=seed,
        unseen_names=unseen_names,
    )


def rows_named(names: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Return label rows for names, as `Splits.rows_named`.

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
                raise ValueError(f"no class {label!r}; there are {', '.join(class_names)}")
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
        raise ValueError(f"{len(array)} labels for {num_images} images; give one label (or row) an image")
    if array.ndim not in (1, 2):
        raise ValueError(f"labels must be class ids (N,) or multi-hot (N, L), got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer) and array.dtype != bool:
        if not np.issubdtype(array.dtype, np.floating) or not np.array_equal(array, np.rint(array)):
            raise ValueError(f"labels must be integers, got dtype {array.dtype}; map class names to 0..L-1 first")
    if array.ndim == 2:
        if array.size and (array.min() < 0 or array.max() > 1):
            raise ValueError(f"multi-hot labels must be 0 or 1, got {array.min()}..{array.max()}")
        found, array = array.shape[1], array.astype(np.uint8)
    else:
        array = array.astype(np.int64)
        found = int(array.max(initial=-1)) + 1
        limit = found if num_classes is None else num_classes
        if array.min(initial=0) < -1 or found > limit:
            bad = array.min(initial=0) if array.min(initial=0) < -1 else found - 1
            raise ValueError(f"label {bad} is out of range; class ids are 0..{limit - 1}, and -1 where unknown")
    classes = found if num_classes is None else num_classes
    if array.ndim == 2 and array.shape[1] != classes:
        raise ValueError(f"multi-hot labels have {array.shape[1]} columns for {classes} classes")
    if classes < 2:
        raise ValueError(f"hashing needs at least 2 classes, got {classes}")
    return array, classes
