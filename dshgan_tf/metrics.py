"""Keras metrics of codes in training: are bits balanced, decided, and on the right side of the margin?"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.losses.diversity import mean_squared_distances
from dshgan_tf.losses.published import squared_distance


def quantization_error(relaxed_codes: Any) -> Any:
    """Mean distance of the relaxed code to its bit, |h - (h > 0.5)|.

    Args:
        relaxed_codes: (B, K) float in [0, 1].

    Returns:
        (B,) float in [0, 0.5]; 0 when every value is 0 or 1.
    """
    return ops.mean(ops.minimum(relaxed_codes, 1.0 - relaxed_codes), axis=-1)


def bit_imbalance(relaxed_codes: Any) -> Any:
    """How far each bit's share of ones in the batch is from a half, mean over bits of |2 p - 1|.

    Args:
        relaxed_codes: (B, K) float in [0, 1].

    Returns:
        Scalar float in [0, 1]; 0 when every bit is 1 for half of the images, 1 when no bit says anything.
    """
    bits = ops.cast(relaxed_codes > 0.5, relaxed_codes.dtype)
    return ops.mean(ops.abs(2.0 * ops.mean(bits, axis=0) - 1.0))


def triplet_accuracy(anchor: Any, positive: Any, negative: Any) -> Any:
    """Whether the positive is nearer than the negative.

    Args:
        anchor: (B, K) float.
        positive: (B, K) float.
        negative: (B, K) float.

    Returns:
        (B,) float, 1 or 0; a tie counts a half.
    """
    difference = squared_distance(anchor, negative) - squared_distance(anchor, positive)
    return 0.5 + 0.5 * ops.sign(difference)


def sample_diversity(images: Any, labels: Any, real_images: Any) -> tuple[Any, Any]:
    """How much synthetic images of one label set differ, as a share of how much real images of any labels differ.

    Near 0 the generator has collapsed onto one picture a label set.

    Args:
        images: (M, H, W, C) float, synthetic.
        labels: (M, L) float they were made with.
        real_images: (B, H, W, C) float.

    Returns:
        Scalar float of at least 0, the ratio of the root mean square differences over pairs, and the number of pairs
        it rests on, which may be 0.
    """
    real_images = ops.cast(real_images, images.dtype)
    same = ops.cast(ops.max(ops.abs(labels[:, None] - labels[None, :]), axis=-1) < 0.5, images.dtype)
    pairs = ops.sum(same) - ops.cast(ops.shape(images)[0], images.dtype)  # an image is no pair with itself
    within = ops.sum(same * mean_squared_distances(images, images)) / ops.maximum(pairs, 1.0)
    count = ops.cast(ops.shape(real_images)[0], images.dtype)
    apart = ops.sum(mean_squared_distances(real_images, real_images)) / ops.maximum(count * (count - 1.0), 1.0)
    return ops.sqrt(within / ops.maximum(apart, 1e-12)), pairs


class _MeanOf(keras.metrics.Mean):
    """Mean over batches of a function of the arguments of `update_state`."""

    function: Any = None

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name or self.function.__name__, dtype=dtype)

    def update_state(self, *values: Any) -> None:
        """Add one batch."""
        super().update_state(type(self).function(*values))


@keras.saving.register_keras_serializable(package="dshgan_tf")
class QuantizationError(_MeanOf):
    """Mean of `quantization_error`; `update_state(relaxed_codes)`."""

    function = staticmethod(quantization_error)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class BitImbalance(_MeanOf):
    """Mean over batches of `bit_imbalance`; `update_state(relaxed_codes)`."""

    function = staticmethod(bit_imbalance)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletAccuracy(_MeanOf):
    """Mean of `triplet_accuracy`; `update_state(anchor, positive, negative)`."""

    function = staticmethod(triplet_accuracy)
