"""A list of image files with their labels, before anything is decoded: what every reader of own data makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import numpy as np

from dshgan_tf.data.source import SIDES
from dshgan_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Listing:
    """Image files and their labels.

    Args:
        root: folder of the files.
        names: their paths relative to it, with forward slashes.
        labels: names of the classes of each; () where unlabelled.
        class_names: L names, in their order.
        skipped: files that are left out already, with the reason.
        sides: what each is for, one of `source.SIDES`; None where a protocol draws.
        groups: name of the group of each, the images of which never fall on both sides; None where all may.

    Raises:
        ValueError: fewer than two classes, a name that leads out of the folder or stands twice, an unknown side, or
            lengths that differ.
    """

    root: Path
    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    class_names: tuple[str, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    sides: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Validate."""
        if len(self.names) != len(self.labels):
            raise InputError(f"{len(self.names)} files and {len(self.labels)} rows of labels in {self.root}")
        if len(self.class_names) < 2:
            raise InputError(f"{self.root} has {len(self.class_names)} classes with images; hashing needs at least 2")
        if len(set(self.names)) < len(self.names):
            seen: set[str] = set()
            twice = next(name for name in self.names if name in seen or seen.add(name))
            raise InputError(f"{twice} stands more than once in {self.root}; name each image once")
        for name in self.names:
            check_inside(name, self.root)
        for side in set(self.sides or ()) - set(SIDES):
            raise InputError(f"the column split says {side!r}; it takes {', '.join(SIDES)}")

    @property
    def multi_label(self) -> bool:
        """Whether any image has several labels."""
        return any(len(labels) > 1 for labels in self.labels)

    def label_array(self) -> np.ndarray:
        """Return labels as class ids (N,) int64, -1 where unlabelled, or as multi-hot rows (N, L) uint8."""
        number = {name: i for i, name in enumerate(self.class_names)}
        if not self.multi_label:
            return np.array([number[labels[0]] if labels else -1 for labels in self.labels], np.int64)
        rows = np.zeros((len(self.labels), len(self.class_names)), np.uint8)
        for row, labels in zip(rows, self.labels, strict=True):
            row[[number[label] for label in labels]] = 1
        return rows


def check_inside(name: str, root: Path) -> None:
    """Refuse a path that leads out of its folder.

    Args:
        name: relative path with forward slashes.
        root: the folder.

    Raises:
        ValueError: it is absolute, climbs, or is no path.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\x00" in name or "\\" in name or ":" in name[:3]:
        raise InputError(f"{name!r} is no path inside {root}; give paths relative to it")
