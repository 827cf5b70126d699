"""Confident predictions on unlabelled images, used as labels (Lee 2013; Sohn et al. 2020)."""

from __future__ import annotations

from typing import Any

from keras import ops


def taught_labels(taught: Any, class_logits: Any, own_share: Any, multi_label: bool) -> Any:
    """Mix what a teacher says with what the averaged encoder says, and sharpen it.

    Args:
        taught: (B, L) probabilities of the teacher.
        class_logits: (B, L) of the averaged encoder.
        own_share: scalar in [0, 1], weight of the encoder's own probabilities.
        multi_label: whether an image may have several labels.

    Returns:
        (B, L) probabilities: squares of the mean, divided by their sum (over the classes, or over yes and no).

    Reference:
        Berthelot et al., "MixMatch", NeurIPS 2019, equation 7, sharpening with a temperature of 1/2.
    """
    own = ops.sigmoid(class_logits) if multi_label else ops.softmax(class_logits, axis=-1)
    mixed = (1 - own_share) * ops.cast(taught, own.dtype) + own_share * own
    square = ops.square(mixed)
    if multi_label:
        return square / (square + ops.square(1 - mixed))
    return square / ops.sum(square, axis=-1, keepdims=True)


def pseudo_labels(class_logits: Any, threshold: Any, multi_label: bool) -> tuple[Any, Any]:
    """Turn predictions into label rows, and tell which of their labels are confident.

    Args:
        class_logits: (B, L) float.
        threshold: confidence in (0, 1], a number or a scalar tensor.
        multi_label: several labels an image are decided one by one, present or absent; one label is decided as a whole.

    Returns:
        Two (B, L) of the logits' dtype: multi-hot rows, and 1 where the label is known with confidence.
    """
    dtype = class_logits.dtype
    if multi_label:
        probabilities = ops.sigmoid(class_logits)
        labels = ops.cast(probabilities > 0.5, dtype)
        confidence = ops.maximum(probabilities, 1 - probabilities)
    else:
        labels = ops.one_hot(ops.argmax(class_logits, axis=-1), class_logits.shape[-1], dtype=dtype)
        confidence = ops.max(ops.softmax(class_logits, axis=-1), axis=-1, keepdims=True)
        confidence = ops.broadcast_to(confidence, ops.shape(labels))
    return labels, ops.cast(confidence >= ops.cast(threshold, dtype), dtype)
