"""Differentiable augmentation: shift, zoom, slant and mirror as two matrix products an image.

Real and synthetic images go through the same transformations, so that the generator never learns to draw them
(Zhao et al. 2020, Differentiable Augmentation).
"""

from __future__ import annotations

from typing import Any

from keras import ops

NUM_DRAWS = 6  # random numbers an image: shift y, shift x, zoom y, zoom x, mirror, slant
MAX_SHIFT = 1 / 8  # of the side
MAX_ZOOM = 0.1
MAX_SLANT = 0.25  # pixels sideways a pixel down


def _axis_weights(size: int, shift: Any, zoom: Any) -> Any:
    """Bilinear weights (..., size, size) of one axis; what lies outside repeats the border."""
    pixels = ops.cast(ops.arange(size), shift.dtype)
    centre = (size - 1) / 2
    source = ops.clip((pixels - centre) * zoom[..., None] + centre + shift[..., None], 0, size - 1)
    return ops.relu(1 - ops.abs(source[..., None] - pixels))


def augment(images: Any, draws: Any) -> Any:
    """Shift by whole pixels up to an eighth of the side, zoom by up to a tenth, slant, and mirror every second image.

    Grey images are not mirrored: they are mostly characters and scans, whose mirror image means something else.

    Args:
        images: (B, H, W, C) float.
        draws: (B, 6) float, uniform in [0, 1).

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
    flat = ops.reshape(images, (-1, height, width * channels))
    shifted = ops.reshape(ops.matmul(rows, flat), (-1, height, width, channels))
    # A slant shifts every row by another amount, so each has its own weights.
    from_centre = ops.cast(ops.arange(height), images.dtype) - (height - 1) / 2
    slants = shifts[1][:, None] + MAX_SLANT * (2 * draws[:, 5, None] - 1) * from_centre
    columns = _axis_weights(width, slants, ops.broadcast_to(zooms[1][:, None], ops.shape(slants)))
    if channels == 3:
        columns = ops.where((draws[:, 4] < 0.5)[:, None, None, None], columns, ops.flip(columns, axis=2))
    return ops.matmul(columns, shifted)
