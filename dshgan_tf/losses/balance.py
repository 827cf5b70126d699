"""Balance of bits, and of the classes predicted on unlabelled images."""

from __future__ import annotations

from typing import Any

from keras import ops


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
