"""Confident predictions on unlabelled images, used as labels (Lee 2013; Sohn et al. 2020)."""

from __future__ import annotations

from typing import Any

from keras import ops


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
