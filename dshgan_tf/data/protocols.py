"""Protocols: who is a query, who is labelled, who is searched. Pure functions of labels and a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from dshgan_tf.data.splits import Part, Splits, multi_hot

VALIDATION_FROM = 5  # labels a class from which a fifth of them validates


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How many images a class go where.

    Args:
        name: of the protocol.
        queries_per_class: images a class that become queries.
        labels_per_class: images a class whose labels are used (validation included), None for all.
        database_has_labeled: whether labelled images are searched too.
    """

    name: str
    queries_per_class: int
    labels_per_class: int | None
    database_has_labeled: bool = True


PROTOCOLS = {
    "digits": Protocol("digits", queries_per_class=20, labels_per_class=1),
    # 1,000 queries, 5,000 labelled; database 54,000 without the labelled ones, or the paper's 59,000 with them.
    "cifar10": Protocol("cifar10", queries_per_class=100, labels_per_class=500, database_has_labeled=False),
    "cifar10-1": Protocol("cifar10-1", queries_per_class=100, labels_per_class=500),
    # 10,000 queries; the other 50,000 are labelled and searched.
    "cifar10-2": Protocol("cifar10-2", queries_per_class=1000, labels_per_class=None),
}


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; choose from {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _draw_per_class(rows: np.ndarray, free: np.ndarray, count: int, rng: np.random.Generator, what: str) -> np.ndarray:
    """Draw `count` free images for every class; an image drawn for one label counts for its others too."""
    free = free.copy()
    drawn = []
    for class_id in range(rows.shape[1]):
        candidates = np.flatnonzero(free & (rows[:, class_id] > 0))
        if len(candidates) < count:
            raise ValueError(
                f"class {class_id} has {len(candidates)} images left for {count} {what}; "
                f"ask for fewer or give more images"
            )
        chosen = rng.choice(candidates, count, replace=False)
        free[chosen] = False
        drawn.append(chosen)
    return np.concatenate(drawn)


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
    could say whether they were found rightly.

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
    """
    if protocol.queries_per_class < 1:
        raise ValueError(f"queries_per_class must be at least 1, got {protocol.queries_per_class}")
    if protocol.labels_per_class is not None and protocol.labels_per_class < 1:
        raise ValueError(f"labels_per_class must be at least 1, got {protocol.labels_per_class}")
    rng = np.random.default_rng(seed)
    rows = multi_hot(labels, num_classes)
    known = rows.sum(axis=1) > 0
    query = _draw_per_class(rows, known, protocol.queries_per_class, rng, "queries")
    free = known.copy()
    free[query] = False
    wanted = protocol.labels_per_class
    if wanted is None:
        wanted = int(rows[free].sum(axis=0).min())
        labeled_all = rng.permutation(np.flatnonzero(free))
    else:
        labeled_all = _draw_per_class(rows, free, wanted, rng, "labels")
    held_out = wanted // 5 if wanted >= VALIDATION_FROM else 0
    in_validation = np.zeros(len(rows), bool)
    if held_out:
        candidates = np.zeros(len(rows), bool)
        candidates[labeled_all] = True
        in_validation[_draw_per_class(rows, candidates, held_out, rng, "validation images")] = True
    labeled = labeled_all[~in_validation[labeled_all]]
    validation = labeled_all[in_validation[labeled_all]]
    hidden = free.copy()
    hidden[labeled_all] = False
    database = free if protocol.database_has_labeled else hidden
    unlabeled = hidden | ~known

    def part(ids: np.ndarray, with_labels: bool = True) -> Part:
        ids = np.sort(ids)
        return Part(images[ids], labels[ids] if with_labels else None, ids.astype(np.int64))

    return Splits(
        query=part(query),
        labeled=part(labeled),
        unlabeled=part(np.flatnonzero(unlabeled), with_labels=False),
        database=part(np.flatnonzero(database)),
        validation=part(validation),
        num_classes=num_classes,
        class_names=class_names,
        name=name,
        protocol=protocol.name,
        seed=seed,
    )
