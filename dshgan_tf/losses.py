"""Losses of DSH-GANs: one pure function each, and a thin registered `keras.losses.Loss` around it.

Every function returns one value an example, so that the caller owns the mean: under `tf.distribute` that is the sum
over the replica's examples divided by the global batch.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.errors import InputError


def squared_distance(a: Any, b: Any) -> Any:
    """Squared Euclidean distance of rows; on bits it is the Hamming distance.

    Args:
        a: (..., K) float.
        b: (..., K) float, broadcastable to `a`.

    Returns:
        (...) float.
    """
    return ops.sum(ops.square(a - b), axis=-1)


def triplet_loss(anchor: Any, positive: Any, negative: Any, margin: float) -> Any:
    """Relaxed triplet ranking loss, max(0, m - |a - n|^2 + |a - p|^2).

    Args:
        anchor: (B, K) float in [0, 1], relaxed codes of real images.
        positive: (B, K) float in [0, 1], codes of images with the same labels.
        negative: (B, K) float in [0, 1], codes of images that share no label.
        margin: positive float, in squared distance (a bit that differs counts 1).

    Returns:
        (B,) float, one loss a triplet.

    Reference:
        Qiu et al., SIGIR 2017, relaxed triplet ranking loss.
    """
    return ops.relu(margin - squared_distance(anchor, negative) + squared_distance(anchor, positive))


def batch_triplet_loss(
    anchors: Any,
    anchor_labels: Any,
    others: Any,
    other_labels: Any,
    margin: float,
    graded: bool = False,
    anchor_known: Any = 1.0,
    other_known: Any = 1.0,
) -> Any:
    """Triplets mined within a batch: for each anchor the mean over its violated triplets.

    Every image that shares a label is a positive, every one that shares none a negative. Where only some labels are
    known, that must hold whatever the others are. The anchor may be among `others`; it is then a positive at distance
    0, which keeps the negatives a margin away where a class has one image.

    Args:
        anchors: (A, K) float in [0, 1].
        anchor_labels: (A, L) multi-hot float; a row of zeros is an anchor without triplets.
        others: (M, K) float in [0, 1].
        other_labels: (M, L) multi-hot float; a row of zeros belongs to no triplet.
        margin: positive float, in squared distance.
        graded: take `margin` times the share of labels that anchor and positive have in common (of those that either
            is known to have), so that an image that shares more lies closer. With one label this changes nothing.
        anchor_known: (A, L) of 0 and 1, where `anchor_labels` are known; 1 for all of them.
        other_known: (M, L) of 0 and 1, where `other_labels` are known; 1 for all of them.

    Returns:
        (A,) float: mean of max(0, m - d(a, n) + d(a, p)) over the triplets where it is positive, 0 where none is.

    Reference:
        Hermans et al. 2017 (batch all, non-zero mean); the loss of a triplet is Qiu et al., SIGIR 2017.
    """
    anchor_labels, other_labels, anchor_known, other_known = (
        ops.cast(rows, anchors.dtype) for rows in (anchor_labels, other_labels, anchor_known, other_known)
    )
    # |a - b|^2 by the binomial formula: (A, M) by one matrix product. Rounding may go below 0.
    squares = ops.sum(ops.square(anchors), -1)[:, None] + ops.sum(ops.square(others), -1)[None, :]
    distances = ops.relu(squares - 2 * ops.matmul(anchors, ops.transpose(others)))
    anchors_have, others_have = anchor_labels * anchor_known, other_labels * other_known
    anchors_may, others_may = 1 - (1 - anchor_labels) * anchor_known, 1 - (1 - other_labels) * other_known
    shared = ops.matmul(anchors_have, ops.transpose(others_have))
    similar = shared > 0.5
    labelled = ops.sum(anchors_may, -1)[:, None] * ops.sum(others_may, -1)[None, :] > 0.5
    dissimilar = ops.logical_and(labelled, ops.matmul(anchors_may, ops.transpose(others_may)) < 0.5)
    if graded:
        either = ops.sum(anchors_have, -1)[:, None] + ops.sum(others_have, -1)[None, :] - shared
        margin = (margin * shared / ops.maximum(either, 1))[:, :, None]
    hinge = ops.relu(margin - distances[:, None, :] + distances[:, :, None])  # (A, positive, negative)
    hinge = hinge * ops.cast(similar, hinge.dtype)[:, :, None] * ops.cast(dissimilar, hinge.dtype)[:, None, :]
    violated = ops.sum(ops.cast(hinge > 0, distances.dtype), axis=(1, 2))
    return ops.sum(hinge, axis=(1, 2)) / ops.maximum(violated, 1)


def adversary_loss(logits: Any, real: bool) -> Any:
    """Binary cross-entropy of the adversary stream, -log P(true source | x).

    Args:
        logits: (B,) float, of P(real | x).
        real: whether the images are real.

    Returns:
        (B,) float.

    Reference:
        Qiu et al., SIGIR 2017, adversary loss.
    """
    return ops.softplus(-logits if real else logits)


def generator_adversary_loss(logits: Any, kind: str) -> Any:
    """What the generator minimises at the adversary stream.

    Args:
        logits: (B,) float, of P(real | x) on synthetic images.
        kind: "saturating", log(1 - P(real)), the paper's minus `adversary_loss`; or "non_saturating", -log P(real).

    Returns:
        (B,) float.

    Raises:
        ValueError: another kind.

    Reference:
        Goodfellow et al. 2014, section 3.
    """
    if kind == "saturating":
        return -ops.softplus(logits)
    if kind == "non_saturating":
        return ops.softplus(-logits)
    raise InputError(f"generator loss must be 'saturating' or 'non_saturating', got {kind!r}")


def classification_loss(labels: Any, logits: Any, multi_label: bool = False, known: Any = 1.0) -> Any:
    """Classification stream: softmax cross-entropy (one label) or summed sigmoid cross-entropy (many).

    Args:
        labels: (B, L) float, one-hot or multi-hot.
        logits: (B, L) float.
        multi_label: whether an image may have several labels.
        known: (B, L) of 0 and 1, the labels that count.

    Returns:
        (B,) float.

    Reference:
        Qiu et al., SIGIR 2017, classification loss.
    """
    labels = ops.cast(labels, logits.dtype)
    if multi_label:
        # log(1 + e^x) - x y, summed over the labels.
        return ops.sum(known * (ops.softplus(logits) - labels * logits), axis=-1)
    return -ops.sum(known * labels * ops.log_softmax(logits, axis=-1), axis=-1)


def diversity_loss(images: Any, noise: Any, labels: Any, others: tuple[Any, Any, Any]) -> Any:
    """Mode-seeking loss: images of one label set that differ less than their noise are costly.

    Args:
        images: (B, H, W, C) float, synthetic.
        noise: (B, Z) float they were made from.
        labels: (B, L) float they were made with.
        others: images, noise and labels (M rows each) to compare with; an image itself, whose noise is the same, is
            left out.

    Returns:
        (B,) float: mean over the other images of the same label set of |z - z'| / (|x - x'| + 0.1), root mean square
        distances; 0 where there is no other.

    Reference:
        Mao et al., CVPR 2019, mode seeking GANs: the reciprocal of their ratio.
    """
    other_images, other_noise, other_labels = others
    apart = mean_squared_distances(noise, other_noise)
    same = ops.max(ops.abs(labels[:, None] - other_labels[None, :]), axis=-1) < 0.5
    same = ops.cast(ops.logical_and(same, apart > 1e-4), images.dtype)
    ratios = ops.sqrt(apart + 1e-6) / (ops.sqrt(mean_squared_distances(images, other_images) + 1e-6) + 0.1)
    return ops.sum(same * ratios, axis=-1) / ops.maximum(ops.sum(same, axis=-1), 1)


def mean_squared_distances(a: Any, b: Any) -> Any:
    """Compare every row with every other.

    Args:
        a: (A, ...) float.
        b: (M, ...) float, rows of the same shape.

    Returns:
        (A, M) float, mean squared differences.
    """
    a, b = (ops.reshape(rows, (ops.shape(rows)[0], -1)) for rows in (a, b))
    squares = ops.sum(ops.square(a), -1)[:, None] + ops.sum(ops.square(b), -1)[None, :]
    return ops.relu(squares - 2 * ops.matmul(a, ops.transpose(b))) / ops.cast(ops.shape(a)[-1], a.dtype)


def bit_balance_loss(relaxed_codes: Any) -> Any:
    """How far each bit is from being on for half of the images; 1 where every image has the same code.

    Triplets alone can end there: equal codes cost no more than the margin, and saturated bits have no gradient.

    Args:
        relaxed_codes: (B, K) float in [0, 1].

    Returns:
        Scalar in [0, 1], the mean over bits of (2 mean - 1)^2.

    Reference:
        The balance of bits of Weiss et al., NIPS 2008 (spectral hashing), relaxed.
    """
    return ops.mean(ops.square(2 * ops.mean(relaxed_codes, axis=0) - 1))


def balance_loss(class_logits: Any, prior: Any, multi_label: bool = False) -> Any:
    """Kullback-Leibler divergence of the batch's mean prediction from how frequent each label is.

    Args:
        class_logits: (B, L) float.
        prior: (L,) float in [0, 1]; sums to 1 where an image has one label.
        multi_label: whether an image may have several labels: each is then present or absent by itself, and the
            divergences of all are summed.

    Returns:
        Scalar float, 0 when the predictions are balanced as the labels are.
    """
    prior = ops.cast(prior, class_logits.dtype)
    mean = ops.mean((ops.sigmoid if multi_label else ops.softmax)(class_logits), axis=0)

    def divergence(share: Any, wanted: Any) -> Any:
        return ops.sum(share * (ops.log(share + 1e-6) - ops.log(wanted + 1e-6)))

    return divergence(mean, prior) + (divergence(1 - mean, 1 - prior) if multi_label else 0.0)


class _WithMargin(keras.losses.Loss):
    def __init__(
        self,
        margin: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if margin <= 0:
            raise InputError(f"margin must be positive, got {margin}")
        self.margin = margin

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "margin": self.margin}


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletRankingLoss(_WithMargin):
    """`triplet_loss` for `compile(loss=...)` of any Keras model that outputs the codes of whole triplets.

    Args:
        margin: positive float, in squared distance.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: margin not positive, or predictions that are no triplets.

    Reference:
        Qiu et al., SIGIR 2017, relaxed triplet ranking loss.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses for (B, 3, K) codes of anchors, positives and negatives; y_true does not count."""
        if len(y_pred.shape) != 3 or y_pred.shape[1] != 3:
            raise InputError(f"predictions must be (B, 3, K), anchor, positive, negative; got {tuple(y_pred.shape)}")
        return triplet_loss(*ops.unstack(y_pred, 3, axis=1), self.margin)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletLoss(_WithMargin):
    """`batch_triplet_loss` for `compile(loss=...)` of any Keras model that outputs relaxed codes.

    Args:
        margin: positive float, in squared distance.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: margin not positive.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses for (B, L) labels and (B, K) relaxed codes."""
        y_true = ops.cast(y_true, y_pred.dtype)
        return batch_triplet_loss(y_pred, y_true, y_pred, y_true, self.margin)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class AdversaryLoss(keras.losses.Loss):
    """Cross-entropy of P(real | x): `y_true` (B,) is 1 for real images, `y_pred` (B,) are logits."""

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "adversary_loss", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses."""
        real = ops.cast(y_true, y_pred.dtype)
        return real * adversary_loss(y_pred, real=True) + (1 - real) * adversary_loss(y_pred, real=False)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class ClassificationLoss(keras.losses.Loss):
    """`classification_loss` on (B, L) labels and logits.

    Args:
        multi_label: summed sigmoid cross-entropy instead of softmax cross-entropy.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.
    """

    def __init__(
        self,
        multi_label: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "classification_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.multi_label = multi_label

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses."""
        return classification_loss(ops.cast(y_true, y_pred.dtype), y_pred, self.multi_label)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "multi_label": self.multi_label}
