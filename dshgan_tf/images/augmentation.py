"""Differentiable augmentation, weak and strong.

Weak is shift and, by the kind of image, mirror or zoom and slant, as two matrix products an image; it leaves labels
alone and is for labelled images. Strong is colour and a hole besides; it makes a task of what is easy, for images whose
labels are a teacher's or the generator's (Sohn et al. 2020, FixMatch). In long trainings labelled ones get a hole too.
Synthetic images go through the same transformations as the real ones that they are told from, so that the generator
never learns to draw them (Zhao et al. 2020, Differentiable Augmentation).
"""

from __future__ import annotations

from typing import Any

from keras import ops

from dshgan_tf.images.preprocessing import HALF_RANGE

# Random numbers an image: shift y, shift x, zoom y, zoom x, mirror, slant; three of `recolour`, three of `cut`.
NUM_DRAWS = 12
MAX_SHIFT = 1 / 8  # of the side
MAX_ZOOM = 0.1
MAX_SLANT = 0.25  # pixels sideways a pixel down
MAX_BRIGHTNESS = 0.2 * 255  # pixel values more or less
MAX_CONTRAST = 0.5  # more or less
MAX_SATURATION = 1.0  # more or less
MAX_HOLE = 0.5  # of the side


def _axis_weights(size: int, shift: Any, zoom: Any) -> Any:
    """Bilinear weights (..., size, size) of one axis; what lies outside repeats the border."""
    pixels = ops.cast(ops.arange(size), shift.dtype)
    centre = (size - 1) / 2
    source = ops.clip((pixels - centre) * zoom[..., None] + centre + shift[..., None], 0, size - 1)
    return ops.relu(1 - ops.abs(source[..., None] - pixels))


def augment(images: Any, draws: Any) -> Any:
    """Shift by whole pixels up to an eighth of the side; mirror every second colour image; zoom and slant grey ones.

    Grey images are mostly characters and scans: their mirror image means something else, and handwriting leans. Colour
    images are mostly photographs, whose finest detail counts: what zoom and slant blur in training is sharp later
    (docs/method/recipe.md, "Augmentation").

    Args:
        images: (B, H, W, C) float.
        draws: (B, 12) float, uniform in [0, 1); the first six are used.

    Returns:
        (B, H, W, C), the same dtype; differentiable in `images`.
    """
    draws = ops.cast(draws, images.dtype)
    height, width, channels = images.shape[1:]
    shifts = [
        ops.floor(draws[:, i] * (2 * round(side * MAX_SHIFT) + 1)) - round(side * MAX_SHIFT)
        for i, side in enumerate((height, width))
    ]
    zooms = [ops.ones_like(draws[:, i]) if channels == 3 else 1 + MAX_ZOOM * (2 * draws[:, i] - 1) for i in (2, 3)]
    rows = _axis_weights(height, shifts[0], zooms[0])
    flat = ops.reshape(images, (-1, height, width * channels))
    shifted = ops.reshape(ops.matmul(rows, flat), (-1, height, width, channels))
    if channels == 3:
        columns = _axis_weights(width, shifts[1], zooms[1])
        columns = ops.where((draws[:, 4] < 0.5)[:, None, None], columns, ops.flip(columns, axis=1))
        return ops.matmul(columns[:, None], shifted)
    # A slant shifts every row by another amount, so each has its own weights.
    from_centre = ops.cast(ops.arange(height), images.dtype) - (height - 1) / 2
    slants = shifts[1][:, None] + MAX_SLANT * (2 * draws[:, 5, None] - 1) * from_centre
    columns = _axis_weights(width, slants, ops.broadcast_to(zooms[1][:, None], ops.shape(slants)))
    return ops.matmul(columns, shifted)


def recolour(images: Any, draws: Any) -> Any:
    """Change brightness, contrast and (colour images) saturation.

    Args:
        images: (B, H, W, C) float, 0..255.
        draws: (B, 12) float, uniform in [0, 1); three of the last six are used.

    Returns:
        (B, H, W, C) in 0..255, the same dtype; differentiable in `images`.
    """
    brightness, contrast, saturation = (ops.cast(draws, images.dtype)[:, i, None, None, None] for i in (6, 7, 8))
    images = images + MAX_BRIGHTNESS * (2 * brightness - 1)
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * (1 + MAX_CONTRAST * (2 * contrast - 1)) + mean
    if images.shape[3] == 3:
        grey = ops.mean(images, axis=3, keepdims=True)
        images = (images - grey) * (1 + MAX_SATURATION * (2 * saturation - 1)) + grey
    return ops.clip(images, 0.0, 255.0)


def cut(images: Any, draws: Any) -> Any:
    """Paint a grey rectangle somewhere. Not for images with several labels: it may hide one of them.

    Args:
        images: (B, H, W, C) float, 0..255.
        draws: (B, 12) float, uniform in [0, 1); the last three are used.

    Returns:
        (B, H, W, C) in 0..255, the same dtype; differentiable in `images`.
    """
    side, row, column = (ops.cast(draws, images.dtype)[:, i, None, None, None] for i in (9, 10, 11))
    covered = 1.0
    for axis, centre in ((1, row), (2, column)):
        size = images.shape[axis]
        shape = [1, 1, 1, 1]
        shape[axis] = size
        places = ops.reshape((ops.cast(ops.arange(size), images.dtype) + 0.5) / size, shape)
        covered = covered * ops.cast(ops.abs(places - centre) < MAX_HOLE * side / 2, images.dtype)
    return images * (1 - covered) + HALF_RANGE * covered
