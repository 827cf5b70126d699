"""What is wrong with a folder or a table of pictures, found before anything is trained."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.data.folder import list_folder
from dshgan_tf.data.listing import Listing
from dshgan_tf.data.pictures import Decoded, decode, find_shape, sample
from dshgan_tf.data.table import list_table
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import look_at
from dshgan_tf.images.preprocessing import resize

RARE = 10  # images, below which a class cannot give a query, labels and images to find
UNEVEN = 10.0  # times as many images in the largest class as in the smallest
SMALL = 16  # side of the pictures that are compared
ALIKE = 2.0  # grey levels between two pictures, by root mean square, up to which one is a copy of the other
FLAT = 8.0  # standard deviation of grey levels, below which pictures say too little to be compared


@dataclasses.dataclass(frozen=True)
class DataCheck:
    """What was found.

    Args:
        files: number of image files.
        formats: suffix -> number of files.
        sizes: height and width that are smallest, median and largest, by pixels, of a sample of the files.
        classes: class -> number of images.
        unlabeled: images without a label.
        skipped: file -> reason why it cannot be used.
        blank: files that show one colour alone.
        same: groups of files with equal pixels and equal labels.
        alike: groups of files that nearly show the same, with equal labels.
        contradictions: groups of files that show the same, or nearly, and have different labels.
        rare: classes with fewer than 10 images.
    """

    files: int
    formats: dict[str, int]
    sizes: tuple[tuple[int, int], ...]
    classes: dict[str, int]
    unlabeled: int
    skipped: dict[str, str]
    blank: tuple[str, ...]
    same: tuple[tuple[str, ...], ...]
    alike: tuple[tuple[str, ...], ...]
    contradictions: tuple[tuple[str, ...], ...]
    rare: tuple[str, ...]

    @property
    def imbalance(self) -> float:
        """How many times as many images the largest class has as the smallest."""
        return max(self.classes.values()) / max(1, min(self.classes.values()))

    def faults(self) -> dict[str, list[str]]:
        """Return what is wrong, kind -> a line for each file, group or class; kinds without any are left out."""

        def groups(found: tuple[tuple[str, ...], ...]) -> list[str]:
            return [" = ".join(group) for group in found]

        found = {
            "cannot be used": [f"{name}: {reason}" for name, reason in self.skipped.items()],
            "blank": list(self.blank),
            "the same picture with different labels": groups(self.contradictions),
            "the same picture": groups(self.same),
            "nearly the same picture": groups(self.alike),
            f"classes with fewer than {RARE} images": [f"{name}: {self.classes[name]}" for name in self.rare],
        }
        if self.imbalance >= UNEVEN:
            ratio = f"the largest class has {self.imbalance:,.0f} times as many images as the smallest"
            found["uneven classes"] = [f"{ratio}: try --sampling balanced"]
        return {kind: lines for kind, lines in found.items() if lines}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return dataclasses.asdict(self) | {"imbalance": self.imbalance}


def check_data(path: Path) -> DataCheck:
    """Look at every picture of a folder or a table.

    Args:
        path: a folder with one subfolder a class, or a `.csv` or `.parquet` file.

    Returns:
        What was found.

    Raises:
        ValueError: it cannot be read, or holds no image.
    """
    listing = list_folder(path) if path.is_dir() else list_table(path)
    if not listing.names:
        raise InputError(f"{path} names no image")
    looked_at = [listing.root / listing.names[place] for place in sample(len(listing.names))]
    found = decode(listing, find_shape(looked_at))
    names = [listing.names[place] for place in found.kept]
    labels = [frozenset(listing.labels[place]) for place in found.kept]
    counts = collections.Counter(label for row in labels for label in row)
    classes = {name: counts[name] for name in listing.class_names}
    same, alike, contradictions = _copies(found, names, labels)
    return DataCheck(
        files=len(listing.names),
        formats=dict(collections.Counter(Path(name).suffix.lower() for name in listing.names).most_common()),
        sizes=_sizes(listing),
        classes=classes,
        unlabeled=sum(not row for row in labels),
        skipped={**listing.skipped, **found.skipped},
        blank=found.blank,
        same=same,
        alike=alike,
        contradictions=contradictions,
        rare=tuple(name for name, count in classes.items() if count < RARE),
    )


def _sizes(listing: Listing) -> tuple[tuple[int, int], ...]:
    """Smallest, median and largest size of a sample of the files."""
    sizes = []
    for place in sample(len(listing.names)):
        try:
            sizes.append(look_at(listing.root / listing.names[place])[0])
        except InputError:  # it is among those that cannot be used
            continue
    sizes.sort(key=lambda size: size[0] * size[1])
    return (sizes[0], sizes[len(sizes) // 2], sizes[-1])


def _copies(found: Decoded, names: list[str], labels: list[frozenset[str]]) -> tuple[Any, Any, Any]:
    """Groups of equal pictures, of nearly equal ones, and of either whose labels differ; each file in one of them."""
    equal = {frozenset(group) for group in found.same}
    same, alike, contradictions = [], [], []
    for group in _groups(len(names), [*found.same, *_nearly_equal(found, names)]):
        named = tuple(names[place] for place in group)
        if len({labels[place] for place in group} - {frozenset()}) > 1:  # a picture without labels contradicts none
            contradictions.append(named)
        else:
            (same if frozenset(group) in equal else alike).append(named)
    return tuple(same), tuple(alike), tuple(contradictions)


def _nearly_equal(found: Decoded, names: list[str]) -> list[tuple[int, int]]:
    """Pairs of places whose pictures are nearly equal; blank and flat ones are passed over."""
    import faiss

    small = np.stack([resize(image, SMALL, SMALL).mean(axis=-1).ravel() for image in found.images])
    blank = set(found.blank)
    told = np.flatnonzero((small.std(axis=1) >= FLAT) & [name not in blank for name in names])
    index = faiss.IndexFlatL2(SMALL * SMALL)
    index.add(small[told])
    limits, _, near = index.range_search(small[told], small.shape[1] * ALIKE**2)
    first = np.repeat(np.arange(len(told)), np.diff(limits.astype(np.int64)))
    return [(int(told[one]), int(told[other])) for one, other in zip(first, near, strict=True) if one < other]


def _groups(count: int, joined: list[tuple[int, ...]]) -> list[list[int]]:
    """Places that hang together, however long the chain from one to the next."""
    import scipy.sparse

    first = [group[0] for group in joined for _ in group]
    other = [place for group in joined for place in group]
    graph = scipy.sparse.csr_matrix((np.ones(len(other), bool), (first, other)), (count, count))
    _, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return [np.flatnonzero(part == number).tolist() for number in np.flatnonzero(np.bincount(part) > 1)]
