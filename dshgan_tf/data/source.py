"""A whole data set in memory or on disk, before it is split."""

from __future__ import annotations

import dataclasses

import numpy as np

SIDES = ("query", "train", "database")  # what a table may say of an image


@dataclasses.dataclass(frozen=True)
class Source:
    """A whole data set, before it is split.

    Args:
        images: (N, H, W, C) uint8, in memory or a memory map.
        labels: (N,) class ids, -1 where unlabelled, or multi-hot (N, L).
        class_names: L names.
        skipped: files that could not be used, with the reason.
        blank: files that show one colour alone.
        same: groups of images with equal pixels, by their places.
        sides: (N,) of `SIDES`, where the data say what an image is for; None where a protocol draws.
        groups: (N,) int, images of one number never fall on both sides; None where all may.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    blank: tuple[str, ...] = ()
    same: tuple[tuple[int, ...], ...] = ()
    sides: np.ndarray | None = None
    groups: np.ndarray | None = None
