"""Confident predictions on unlabelled images, used as labels (Lee 2013; Sohn et al. 2020)."""

from __future__ import annotations

from typing import Any

from keras import ops


def pseudo_labels(class_logits: Any, threshold: float, multi_label: bool) -> Any:
    """Turn predictions into label rows where they are confident.

    Args:
        class_logits: (B, L) float.
        threshold: confidence in (0, 1].
        multi_label: every label of an image must be confident, present or absent.

    Returns:
        (B, L) of the logits' dtype, multi-hot rows, zeros where not confident.
    """
    dtype = class_logits.dtype
    if multi_label:
        probabilities = ops.sigmoid(class_logits)
        labels = ops.cast(probabilities > 0.5, dtype)
        confidence = ops.min(ops.maximum(probabilities, 1 - probabilities), axis=-1)
    else:
        labels = ops.one_hot(ops.argmax(class_logits, axis=-1), class_logits.shape[-1], dtype=dtype)
        confidence = ops.max(ops.softmax(class_logits, axis=-1), axis=-1)
    mask = ops.cast(confidence >= threshold, dtype)
    return labels * mask[:, None]
