"""The small trunk, and the blocks that it and the generator are made of."""

from __future__ import annotations

import math
from typing import Any

from keras import layers

from dshgan_tf.errors import InputError
from dshgan_tf.images.preprocessing import HALF_RANGE
from dshgan_tf.models.normalization import FusedBatchNormalization
from dshgan_tf.models.precision import full_precision

LARGEST_SIDE = 1024  # pixels
MOST_CHANNELS = 8192  # of the last stage
SMALLEST_GRID = 4  # the trunk ends, and the generator starts, at about 4 x 4 cells


def check_image_shape(image_shape: tuple[int, int, int]) -> None:
    """Raise an `InputError` for a shape that no network is built for."""
    if len(image_shape) != 3 or min(image_shape) < 1 or max(image_shape) > LARGEST_SIDE:
        raise InputError(f"image_shape must be (height, width, channels), each in 1..{LARGEST_SIDE}, got {image_shape}")
    if image_shape[2] not in (1, 3):
        raise InputError(f"images have 1 (grey) or 3 (RGB) channels, got {image_shape[2]}; convert them")


def halvings(image_shape: tuple[int, int, int]) -> int:
    """Return how often the shorter side can be halved before it falls under the smallest grid."""
    return max(0, int(math.log2(max(1, min(image_shape[:2]) / SMALLEST_GRID))))


def normalise(x: Any, norm: str, name: str) -> Any:
    """Normalise by the batch: "sync_batch" over all replicas, "batch" over each by itself, "none" not at all."""
    if norm == "none":
        return x
    together = norm == "sync_batch"
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=together, name=name)(x)


def convolution(x: Any, filters: int, norm: str, name: str, pool: bool = False) -> Any:
    """Convolve 3 x 3, halve the grid by its maxima where `pool`, then normalise."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=norm == "none", name=f"{name}_conv")(x)
    if pool:
        x = layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return normalise(x, norm, f"{name}_norm")


def activate(x: Any) -> Any:
    """Apply the nonlinearity of all our layers."""
    return layers.LeakyReLU(negative_slope=0.1)(x)


def small_trunk(pixels: Any, width: int, norm: str) -> tuple[Any, Any]:
    """Trunk for small images: a stem, then stages of two convolutions that halve the grid and double the channels.

    The first convolution of a stage sees the finer grid and is pooled by its maxima: strides would cost a quarter, and
    learn less in the same time (docs/method/recipe.md).

    Args:
        pixels: (B, H, W, C) symbolic input, 0..255; the scaling to [-1, 1] is the first layer.
        width: channels of the stem; the stages have 2, 4, 8 ... times as many.
        norm: "batch", "sync_batch" (statistics over all replicas) or "none".

    Returns:
        Features (B, F), the mean and the maximum of every channel over the last grid, and that grid (B, h, w, F / 2).
    """
    # In float32 under mixed precision: 16 bits would round the pixels before they are centred.
    scaled = layers.Rescaling(1 / HALF_RANGE, -1.0, dtype=full_precision(), name="scale")(pixels)
    x = activate(convolution(scaled, width, norm, "stem"))
    for stage in range(1, halvings(tuple(pixels.shape[1:])) + 1):
        filters = width * 2**stage
        x = activate(convolution(x, filters, norm, f"stage{stage}_a", pool=True))
        x = activate(convolution(x, filters, norm, f"stage{stage}_b"))
    mean = layers.GlobalAveragePooling2D(name="mean_pool")(x)
    maximum = layers.GlobalMaxPooling2D(name="max_pool")(x)
    return layers.Concatenate(name="features")([mean, maximum]), x
