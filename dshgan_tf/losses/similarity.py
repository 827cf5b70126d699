"""Codes as alike as their labels."""

from __future__ import annotations

from typing import Any

from keras import ops


def similarity_loss(codes: Any, labels: Any, other_codes: Any, other_labels: Any, multi_label: bool = False) -> Any:
    """Mean over the others of (s s' / K - likeness)^2, with s = 2 H(x) - 1.

    Where an image has one label, likeness is the probability q q' that both have the same. Where it may have several,
    it is 1 - exp(-q q'). That grows with the number of labels in common that one expects, and stays below 1.

    Labels may be probabilities. Then images of uncertain class come to lie between the classes, and those near to one
    another in the teacher's graph stay near. A triplet, which only asks for an order, loses this.

    Args:
        codes: (A, K) relaxed codes, in [0, 1].
        labels: (A, L) probabilities, or multi-hot rows.
        other_codes: (M, K) relaxed codes.
        other_labels: (M, L) of these.
        multi_label: whether an image may have several labels.

    Returns:
        (A,) float, at least 0.

    Reference:
        Liu et al., "Supervised hashing with kernels", CVPR 2012, equation 3: inner products of codes follow labels.
    """
    signs, other_signs = 2 * codes - 1, 2 * other_codes - 1
    alike = ops.matmul(signs, ops.transpose(other_signs)) / codes.shape[-1]
    likeness = ops.matmul(labels, ops.transpose(other_labels))
    if multi_label:
        likeness = 1 - ops.exp(-likeness)
    return ops.mean(ops.square(alike - ops.cast(likeness, alike.dtype)), axis=-1)
