"""Protocols: who is a query, who is labelled, who is searched. Pure functions of labels and a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from dshgan_tf.data.source import SIDES, Source
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
        unseen_classes: number of classes, drawn by the seed, that nobody labels. Their images are asked for and
            searched like all others. 0 labels all classes.
        unlabeled_unseen: whether their images train as unlabelled ones; else they do not train at all.
        validation: whether a fifth of the labels validates, from 5 labels a class on; else all labels train.
    """

    name: str
    queries_per_class: int
    labels_per_class: int | None
    database_has_labeled: bool = True
    unseen_classes: int = 0
    unlabeled_unseen: bool = False
    validation: bool = True


PROTOCOLS = {
    "digits": Protocol("digits", queries_per_class=20, labels_per_class=1),
    # All labels but the queries'.
    "digits-2": Protocol("digits-2", queries_per_class=20, labels_per_class=None),
    # Trains on 7 digits and searches all 10: a classifier's output alone is no good code for the other 3.
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
    # 7 classes train (500 labels each); all 10 are asked for and searched.
    "cifar10-unseen": Protocol("cifar10-unseen", queries_per_class=100, labels_per_class=500, unseen_classes=3),
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
    if not 0 <= unseen <= num_classes - 2:
        raise InputError(
            f"unseen_classes must leave 2 of {num_classes} classes, got {unseen}; take 0..{num_classes - 2}"
        )
    if protocol.unlabeled_unseen and not unseen:
        raise InputError("unlabeled_unseen is for classes that nobody labels; give unseen_classes too")


def split(source: Source, protocol: Protocol, seed: int, name: str) -> Splits:
    """Split a data set by a protocol and a seed.

    Images without any label (id -1 or a row of zeros) train as unlabelled images and are not searched, since nobody
    could say whether they were found rightly. Where no unseen class may train they are left out, since they may be of
    one.

    With unseen classes, the classes are numbered anew: those that train first, in their order, then the unseen ones.
    An image with an unseen label is never labelled. As a query, only its unseen labels count.

    Where the data say what each image is for, that is taken as it is: queries ask, the database is searched, and only
    the others train. Where images are in groups, a group goes as a whole to the queries, or to validation. Unlabelled
    images of such a group are left out.

    Args:
        source: the data set.
        protocol: how many images go where.
        seed: of the draw; the same seed gives the same split.
        name: of the data set.

    Returns:
        The checked splits.

    Raises:
        ValueError: a class has too few images for the protocol, or the data's own sides cannot be used.

    Reference:
        Sablayrolles et al., ICASSP 2017 (why unseen classes).
    """
    names = source.class_names
    _check(protocol, len(names))
    rng = np.random.default_rng(seed)
    unseen = np.sort(rng.choice(len(names), protocol.unseen_classes, replace=False))
    trained = np.setdiff1d(np.arange(len(names)), unseen)
    classes = Classes(
        tuple(names[i] for i in trained), tuple(names[i] for i in unseen), np.concatenate([trained, unseen])
    )
    masks = _draw(source, trained, unseen, protocol, rng)
    ids = {part: np.flatnonzero(mask) for part, mask in masks.items()}
    splits = assemble(source.images, source.labels, ids, classes, name, protocol.name, seed)
    return dataclasses.replace(splits, skipped=source.skipped, blank=source.blank, same=source.same)


def _draw(
    source: Source, trained: np.ndarray, unseen: np.ndarray, protocol: Protocol, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the parts of a split, (N,) bool each: queries, then labels, then validation images among them."""
    rows = multi_hot(source.labels, len(source.class_names))
    known, held_out = rows.any(axis=1), rows[:, unseen].any(axis=1)
    query, apart, train = _queries(source, rows, protocol, rng, np.concatenate([unseen, trained]))
    free = known & ~held_out & train
    labels_of = {int(i): source.class_names[i] for i in trained}
    wanted = protocol.labels_per_class
    if wanted is None:
        wanted = int(rows[free][:, trained].sum(axis=0).min())
        rng.permutation(int(free.sum()))  # what follows was drawn after this in all published figures
        labeled = free
    else:
        labeled = _mask(len(rows), _draw_per_class(rows, free, wanted, rng, "labels", labels_of))
    validation, near = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    if protocol.validation and wanted >= VALIDATION_FROM:
        drawn = _draw_per_class(rows, labeled, wanted // 5, rng, "validation images", labels_of)
        near = _whole_groups(_mask(len(rows), drawn), source.groups)
        validation = near & labeled
    database = known & (source.sides == "database" if source.sides is not None else ~apart)
    # An image without labels may be of an unseen class, whose images do not train unless that is asked for.
    may_train = train if protocol.unlabeled_unseen or not len(unseen) else free
    return {
        "query": query,
        "labeled": labeled & ~near,
        "unlabeled": may_train & ~labeled & ~near,
        "database": database if protocol.database_has_labeled else database & ~labeled,
        "validation": validation,
    }


def _queries(
    source: Source, rows: np.ndarray, protocol: Protocol, rng: np.random.Generator, asked_for: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries, what must stay apart from all else because of them, and what may train, (N,) bool each."""
    known = rows.any(axis=1)
    if source.sides is not None:
        _check_sides(source, known)
        query = source.sides == "query"
        return query, query, source.sides == "train"
    names = {int(i): source.class_names[i] for i in asked_for}
    drawn = _draw_per_class(rows, known, protocol.queries_per_class, rng, "queries", names)
    apart = _whole_groups(_mask(len(rows), drawn), source.groups)
    return apart & known, apart, ~apart


def _whole_groups(chosen: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the chosen images, (N,) bool, and all others of their groups."""
    return chosen if groups is None else np.isin(groups, groups[chosen])


def _check_sides(source: Source, known: np.ndarray) -> None:
    """Refuse a split of the data's own that cannot be evaluated."""
    for side in SIDES:
        if not (source.sides == side).any():
            raise InputError(f"no image has {side!r} in the column split; give some, or leave the column out")
    nameless = int(((source.sides != "train") & ~known).sum())
    if nameless:
        raise InputError(
            f"{nameless} images are query or database in the column split and have no label, so nobody could say "
            "whether they were found rightly; label them, or say train"
        )
    if source.groups is not None:
        query = source.sides == "query"
        both = np.intersect1d(source.groups[query], source.groups[~query])
        if len(both):
            raise InputError(f"{len(both)} groups of the table have queries and other images; give each group one side")
