"""Differentiable augmentation: shift, zoom and mirror as two matrix products an image.

Real and synthetic images go through the same transformations, so that the generator never learns to draw them
(Zhao et al. 2020, Differentiable Augmentation).
"""

from __future__ import annotations

from typing import Any

from keras import ops

NUM_DRAWS = 5  # random numbers an image: shift y, shift x, zoom y, zoom x, mirror
MAX_SHIFT = 1 / 8  # of the side
MAX_ZOOM = 0.1


def _axis_weights(size: int, shift: Any, zoom: Any) -> Any:
    """Bilinear weights (B, size, size) of one axis; what lies outside repeats the border."""
    pixels = ops.cast(ops.arange(size), shift.dtype)
    centre = (size - 1) / 2
    source = (pixels[None, :] - centre) * zoom[:, None] + centre + shift[:, None]
    source = ops.clip(source, 0, size - 1)
    return ops.relu(1 - ops.abs(source[:, :, None] - pixels[None, None, :]))


def augment(images: Any, draws: Any) -> Any:
    """Shift by whole pixels up to an eighth of the side, zoom by up to a tenth, and mirror every second colour image.

    Grey images are not mirrored: they are mostly characters and scans, whose mirror image means something else.

    Args:
        images: (B, H, W, C) float.
        draws: (B, 5) float, uniform in [0, 1).

    Returns:
        (B, H, W, C), the same dtype; differentiable in `images`.
    """
    draws = ops.cast(draws, images.dtype)
    height, width, channels = images.shape[1:]
    shifts = [
        ops.floor(draws[:, i] * (2 * round(side * MAX_SHIFT) + 1)) - round(side * MAX_SHIFT)
        for i, side in enumerate((height, width))
    ]
    zooms = [1 + MAX_ZOOM * (2 * draws[:, i] - 1) for i in (2, 3)]
    rows = _axis_weights(height, shifts[0], zooms[0])
    columns = _axis_weights(width, shifts[1], zooms[1])
    if channels == 3:
        columns = ops.where((draws[:, 4] < 0.5)[:, None, None], columns, ops.flip(columns, axis=1))
    flat = ops.reshape(images, (-1, height, width * channels))
    shifted = ops.reshape(ops.matmul(rows, flat), (-1, height, width, channels))
    return ops.matmul(columns[:, None], shifted)
