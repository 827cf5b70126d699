"""What a data set looks like after splitting: five parts whose disjointness is checked, not assumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dshgan_tf.data.rows import Rows
from dshgan_tf.errors import InputError
from dshgan_tf.labels import multi_hot, rows_named


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
            raise InputError(f"images, labels and ids must have one length, got {lengths}")
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            raise InputError(f"id {values[counts > 1][0]} stands in one part more than once; name each image once")

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
        unseen_names: names of classes that nobody labelled, numbered from L on; queries and database have them. ()
            where all classes have labels.
        skipped: files of the data set that could not be used, with the reason.
        blank: files of the data set that show one colour alone.
        same: groups of images with equal pixels, by their ids.
        taught: (U, L) float32 probabilities that a teacher gives the unlabelled images; None without a teacher.

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
    blank: tuple[str, ...] = ()
    same: tuple[tuple[int, ...], ...] = ()
    taught: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Validate."""
        if self.unlabeled.labels is not None:
            raise InputError("unlabeled.labels must be None, so that hidden labels cannot leak into training")
        if len(self.class_names) != self.num_classes:
            raise InputError(f"{len(self.class_names)} class names for {self.num_classes} classes; give one a class")
        trained = ("labeled", "unlabeled", "validation")
        disjoint = [("query", other) for other in ("database", *trained)]
        disjoint += [("labeled", "unlabeled"), ("labeled", "validation"), ("validation", "unlabeled")]
        for first, second in disjoint:
            shared = np.intersect1d(getattr(self, first).ids, getattr(self, second).ids)
            if len(shared):
                raise InputError(
                    f"{first} and {second} overlap in {len(shared)} images (first id {shared[0]}); "
                    "an evaluation on such a split is worthless: remove them from one of the two"
                )
        missing = np.flatnonzero(self.multi_hot(self.labeled.labels).sum(axis=0) == 0)
        if len(missing):
            raise InputError(
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

    @property
    def label_frequency(self) -> np.ndarray:
        """(L,) float32, how frequent each label is among the labelled images."""
        return self.multi_hot(self.labeled.labels).mean(axis=0)

    @property
    def fewest_labels(self) -> int:
        """Labelled training images of the rarest class."""
        return int(self.multi_hot(self.labeled.labels).sum(axis=0).min())

    @property
    def feature_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and variance of the features that train, (F,) float32 each; None where images are pixels."""
        if len(self.image_shape) != 1:
            return None
        rows = np.concatenate([self.labeled.images, self.unlabeled.images])
        return rows.mean(axis=0), rows.var(axis=0)

    def some_images(self) -> np.ndarray:
        """Return up to 4,000 training images or features, and up to 256 MiB of them, drawn always alike."""
        parts = [part for part in (self.labeled, self.unlabeled) if len(part)]
        size = math.prod(self.image_shape) * parts[0].images.dtype.itemsize
        ends = np.cumsum([len(part) for part in parts])
        drawn = np.sort(np.random.default_rng(0).permutation(ends[-1])[: max(1, min(DRAWN, DRAWN_BYTES // size))])
        pieces = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
        starts = ends - [len(part) for part in parts]
        return np.concatenate(
            [np.asarray(part.images[piece - start]) for part, piece, start in zip(parts, pieces, starts, strict=True)]
        )

    @property
    def similar_share(self) -> float:
        """How often two images share a label, if labels are as frequent as among the labelled training images."""
        if not self.multi_label:
            shares = np.bincount(self.labeled.labels, minlength=self.num_classes) / len(self.labeled)
            return float((shares**2).sum())
        rows = self.multi_hot(self.labeled.labels)
        some = rows[np.random.default_rng(0).permutation(len(rows))[:PAIRED]]
        return float(np.mean(some @ some.T > 0))

    def without_unlabeled(self) -> Splits:
        """Return the same splits with no unlabelled image; the database keeps them."""
        none = Part(self.unlabeled.images[:0], None, self.unlabeled.ids[:0])
        return dataclasses.replace(self, unlabeled=none, taught=None)

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
            "blank": list(self.blank),
            "same": [list(group) for group in self.same],
            "ids": ids,
        }


DRAWN, DRAWN_BYTES = 4000, 1 << 28  # images that tell how images differ, and bytes of these
PAIRED = 2000  # images of which all pairs are looked at
PARTS = ("query", "labeled", "unlabeled", "database", "validation")


def checksum(ids: dict[str, list[int]]) -> str:
    """Return the SHA-256 of the ids of every part, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Classes:
    """Which classes of a data set train.

    Args:
        names: L names of the classes that train.
        unseen_names: names of the others.
        order: (L + unseen,) int64, the data set's numbers of `names`, then of `unseen_names`.
    """

    names: tuple[str, ...]
    unseen_names: tuple[str, ...]
    order: np.ndarray


def assemble(
    images: Any,
    labels: np.ndarray,
    ids: dict[str, np.ndarray],
    classes: Classes,
    name: str,
    protocol: str,
    seed: int,
) -> Splits:
    """Make splits from the ids of every part.

    Args:
        images: (N, H, W, C) uint8, the whole data set.
        labels: (N,) ids or (N, classes) multi-hot, as the data set numbers them.
        ids: part -> positions in the data set.
        classes: that train and that do not.
        name: of the data set.
        protocol: of the split.
        seed: of the split.

    Returns:
        The checked splits.

    Raises:
        ValueError: as `Splits`.
    """
    seen = len(classes.names)
    if labels.ndim == 2:
        labels = labels[:, classes.order]
    else:
        numbers = np.append(np.argsort(classes.order), -1)  # the last is for "no label", -1
        labels = numbers[labels]

    def part(key: str) -> Part:
        chosen = np.sort(np.asarray(ids[key], np.int64))
        rows = labels[chosen]
        if rows.ndim == 2 and classes.unseen_names:
            if key in ("labeled", "validation"):
                rows = rows[:, :seen]
            elif key == "query":  # one of an unseen class asks for it alone
                rows = np.where(rows[:, seen:].any(axis=1, keepdims=True) & (np.arange(rows.shape[1]) < seen), 0, rows)
        # What lies on disk stays there.
        images_of_part = Rows(images, chosen) if isinstance(images, np.memmap) else images[chosen]
        return Part(images_of_part, None if key == "unlabeled" else rows, chosen)

    return Splits(
        **{key: part(key) for key in PARTS},
        num_classes=seen,
        class_names=classes.names,
        name=name,
        protocol=protocol,
        seed=seed,
        unseen_names=classes.unseen_names,
    )
