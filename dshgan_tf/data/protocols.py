"""Protocols: who is a query, who is labelled, who is searched. Pure functions of labels and a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from dshgan_tf.data.splits import Classes, Splits, assemble
from dshgan_tf.errors import InputError
from dshgan_tf.labels import multi_hot

VALIDATION_FROM = 5  # labels a class from which a fifth of them validates


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How many images a class go where.

    Args:
        name: of the protocol.
        queries_per_class: images a class that become queries.
        labels_per_class: images a class whose labels are used (validation included), None for all.
        database_has_labeled: whether labelled images are searched too.
        unseen_classes: number of classes, drawn by the seed, that training never sees, labelled or not; queries and
            database are images of these alone. 0 trains and searches all classes.
    """

    name: str
    queries_per_class: int
    labels_per_class: int | None
    database_has_labeled: bool = True
    unseen_classes: int = 0


PROTOCOLS = {
    "digits": Protocol("digits", queries_per_class=20, labels_per_class=1),
    # All labels but the queries'.
    "digits-2": Protocol("digits-2", queries_per_class=20, labels_per_class=None),
    # Trains on 7 digits and searches the other 3: a classifier's output alone is no good code for these.
    "digits-unseen": Protocol("digits-unseen", queries_per_class=20, labels_per_class=20, unseen_classes=3),
    # 1,000 queries, 5,000 labelled; database 54,000 without the labelled ones, or the paper's 59,000 with them.
    "cifar10": Protocol("cifar10", queries_per_class=100, labels_per_class=500, database_has_labeled=False),
    "cifar10-1": Protocol("cifar10-1", queries_per_class=100, labels_per_class=500),
    # 10,000 queries; the other 50,000 are labelled and searched.
    "cifar10-2": Protocol("cifar10-2", queries_per_class=1000, labels_per_class=None),
    # The paper's: 100 queries and 500 labels a concept of the 21 most frequent; MAP@5000 (--top-k 5000).
    "nuswide-21": Protocol("nuswide-21", queries_per_class=100, labels_per_class=500),
    # All concepts; the rarest have too few images for the numbers above.
    "nuswide-81": Protocol("nuswide-81", queries_per_class=10, labels_per_class=20),
    # 7 classes train (500 labels each); 1,000 queries a class and 15,000 database images are of the other 3.
    "cifar10-unseen": Protocol("cifar10-unseen", queries_per_class=1000, labels_per_class=500, unseen_classes=3),
}


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise InputError(f"unknown protocol {name!r}; choose from {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _draw_per_class(
    rows: np.ndarray, free: np.ndarray, count: int, rng: np.random.Generator, what: str, classes: dict[int, str]
) -> np.ndarray:
    """Draw `count` free images for every class, number and name; one drawn for a label counts for its others too."""
    free = free.copy()
    drawn = []
    for class_id, name in classes.items():
        candidates = np.flatnonzero(free & (rows[:, class_id] > 0))
        if len(candidates) < count:
            raise InputError(
                f"class {name!r} has {len(candidates)} images left for {count} {what}; "
                f"ask for fewer or give more images"
            )
        chosen = rng.choice(candidates, count, replace=False)
        free[chosen] = False
        drawn.append(chosen)
    return np.concatenate(drawn)


def _mask(size: int, ids: np.ndarray) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[ids] = True
    return mask


def _check(protocol: Protocol, num_classes: int) -> None:
    if protocol.queries_per_class < 1:
        raise InputError(f"queries_per_class must be at least 1, got {protocol.queries_per_class}")
    if protocol.labels_per_class is not None and protocol.labels_per_class < 1:
        raise InputError(f"labels_per_class must be at least 1, got {protocol.labels_per_class}")
    unseen = protocol.unseen_classes
    if unseen and not 2 <= unseen <= num_classes - 2:
        raise InputError(
            f"unseen_classes must be 0, or leave 2 classes on both sides of {num_classes}, got {unseen}; "
            f"take 2..{num_classes - 2}"
        )


def split(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    class_names: tuple[str, ...],
    protocol: Protocol,
    seed: int,
    name: str,
) -> Splits:
    """Split a data set by a protocol and a seed.

    Images without any label (id -1 or a row of zeros) train as unlabelled images and are not searched, since nobody
    could say whether they were found rightly; with unseen classes they are left out.

    With unseen classes, the classes are numbered anew: those that train first, in their order, then the unseen ones.
    An image with an unseen label is searched and never trained on, and of its labels only the unseen ones count.

    Args:
        images: (N, H, W, C) uint8.
        labels: (N,) ids or (N, L) multi-hot.
        num_classes: L.
        class_names: L names.
        protocol: how many images go where.
        seed: of the draw; the same seed gives the same split.
        name: of the data set.

    Returns:
        The checked splits.

    Raises:
        ValueError: a class has too few images for the protocol.

    Reference:
        Sablayrolles et al., ICASSP 2017 (why unseen classes).
    """
    _check(protocol, num_classes)
    rng = np.random.default_rng(seed)
    rows = multi_hot(labels, num_classes)
    unseen = np.sort(rng.choice(num_classes, protocol.unseen_classes, replace=False))
    trained = np.setdiff1d(np.arange(num_classes), unseen)
    classes = Classes(
        tuple(class_names[i] for i in trained), tuple(class_names[i] for i in unseen), np.concatenate([trained, unseen])
    )
    masks = _draw(rows, trained, unseen, protocol, rng, class_names)
    ids = {part: np.flatnonzero(mask) for part, mask in masks.items()}
    return assemble(images, labels, ids, classes, name, protocol.name, seed)


def _draw(
    rows: np.ndarray,
    trained: np.ndarray,
    unseen: np.ndarray,
    protocol: Protocol,
    rng: np.random.Generator,
    class_names: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """Draw the parts of a split, (N,) bool each: queries, then labels, then validation images among them."""
    known, held_out = rows.any(axis=1), rows[:, unseen].any(axis=1)
    searched = held_out if len(unseen) else known
    asked_for = unseen if len(unseen) else trained
    queries_of = {int(i): class_names[i] for i in asked_for}
    labels_of = {int(i): class_names[i] for i in trained}

    query = _mask(len(rows), _draw_per_class(rows, searched, protocol.queries_per_class, rng, "queries", queries_of))
    free = known & ~held_out & ~query
    wanted = protocol.labels_per_class
    if wanted is None:
        wanted = int(rows[free][:, trained].sum(axis=0).min())
        rng.permutation(int(free.sum()))  # what follows was drawn after this in all published figures
        labeled = free
    else:
        labeled = _mask(len(rows), _draw_per_class(rows, free, wanted, rng, "labels", labels_of))
    validation = np.zeros(len(rows), bool)
    if wanted >= VALIDATION_FROM:
        drawn = _draw_per_class(rows, labeled, wanted // 5, rng, "validation images", labels_of)
        validation = _mask(len(rows), drawn)
    database = searched & ~query
    return {
        "query": query,
        "labeled": labeled & ~validation,
        # Nobody knows whether an image without labels is of an unseen class: then it does not train.
        "unlabeled": (free & ~labeled) | (~known & (len(unseen) == 0)),
        "database": database if protocol.database_has_labeled else database & ~labeled,
        "validation": validation,
    }
