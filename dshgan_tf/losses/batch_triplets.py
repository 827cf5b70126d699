"""Triplets mined within a batch: every positive against every negative, without making them all."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import ops


def batch_triplet_loss(
    anchors: Any,
    anchor_labels: Any,
    others: Any,
    other_labels: Any,
    margin: float,
    graded: bool = False,
    known: tuple[Any, Any] = (1.0, 1.0),
) -> Any:
    """Return for each anchor the mean loss of its violated triplets.

    Every image that shares a label is a positive, every one that shares none a negative. Where only some labels are
    known, that must hold whatever the others are. The anchor may be among `others`. It is then a positive at distance
    0, which keeps the negatives a margin away where a class has one image.

    A triplet is violated where d(a, n) < m + d(a, p). The negatives of an anchor are sorted by distance. Then the
    violated ones of a positive are the first few, and their sum is a cumulative sum. This costs O(A M log M); all
    triplets together would cost O(A M^2).

    Args:
        anchors: (A, K) float in [0, 1].
        anchor_labels: (A, L) multi-hot float; a row of zeros is an anchor without triplets.
        others: (M, K) float in [0, 1].
        other_labels: (M, L) multi-hot float; a row of zeros belongs to no triplet.
        margin: positive float, in squared distance.
        graded: take `margin` times the share of labels that anchor and positive have in common (of those that either
            is known to have), so that an image that shares more lies closer. With one label this changes nothing.
        known: (A, L) and (M, L) of 0 and 1, where `anchor_labels` and `other_labels` are known; 1 for all of them.

    Returns:
        (A,) float: mean of max(0, margin - d(a, n) + d(a, p)) over the triplets where it is positive, 0 where none is.

    Reference:
        Hermans et al. 2017 (batch all, non-zero mean); the loss of a triplet is Qiu et al., SIGIR 2017.
    """
    labels = [ops.cast(rows, anchors.dtype) for rows in (anchor_labels, other_labels)]
    known = [ops.cast(rows, anchors.dtype) for rows in known]
    similar, dissimilar, shares = _relations(labels, known)
    distances = _squared_distances(anchors, others)
    reach = distances + margin * shares if graded else distances + margin  # a violated negative lies within it
    order, sums = _nearest_first(distances, dissimilar)
    # How many negatives lie within the reach of each positive: a search without a gradient.
    count = tf.searchsorted(ops.stop_gradient(order), ops.stop_gradient(reach), side="left")
    nearer = ops.take_along_axis(sums, count, axis=-1)  # sum of their distances
    count = ops.cast(count, distances.dtype) * similar
    loss = ops.sum(count * reach - similar * nearer, axis=-1)
    return loss / ops.maximum(ops.sum(count, axis=-1), 1)


def _squared_distances(anchors: Any, others: Any) -> Any:
    """Return |a - b|^2 (A, M) by the binomial formula, one matrix product. Rounding may go below 0."""
    squares = ops.sum(ops.square(anchors), -1)[:, None] + ops.sum(ops.square(others), -1)[None, :]
    return ops.relu(squares - 2 * ops.matmul(anchors, ops.transpose(others)))


def _relations(labels: list[Any], known: list[Any]) -> tuple[Any, Any, Any]:
    """Return who is similar, who is dissimilar, and the share of labels in common, (A, M) float each."""
    have = [rows * sure for rows, sure in zip(labels, known, strict=True)]
    may_have = [1 - (1 - rows) * sure for rows, sure in zip(labels, known, strict=True)]
    common = ops.matmul(have[0], ops.transpose(have[1]))
    similar = ops.cast(common > 0.5, common.dtype)
    labelled = ops.sum(may_have[0], -1)[:, None] * ops.sum(may_have[1], -1)[None, :] > 0.5
    apart = ops.matmul(may_have[0], ops.transpose(may_have[1])) < 0.5
    dissimilar = ops.cast(ops.logical_and(labelled, apart), common.dtype)
    either = ops.sum(have[0], -1)[:, None] + ops.sum(have[1], -1)[None, :] - common
    return similar, dissimilar, common / ops.maximum(either, 1)


def _nearest_first(distances: Any, dissimilar: Any) -> tuple[Any, Any]:
    """Return the negatives' distances (A, M), nearest first, the others' at the end; and (A, M + 1) sums of the first.

    Sorting has the gradient of a permutation, so distances keep theirs.
    """
    never = ops.cast(float("inf"), distances.dtype)
    far = ops.where(dissimilar > 0.5, distances, never)
    order = ops.argsort(ops.stop_gradient(far), axis=-1)
    nearest = ops.take_along_axis(distances * dissimilar, order, axis=-1)
    sums = ops.cumsum(nearest, axis=-1)
    return ops.take_along_axis(far, order, axis=-1), ops.concatenate([ops.zeros_like(sums[:, :1]), sums], axis=-1)
