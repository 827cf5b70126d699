"""The one definition of what happens to pixels before the encoder: resize, check. They are 0..255.

Files are opened by `picture_files`.

The scaling to [-1, 1] is the encoder's first layer.

Resizing is two matrix products with bilinear weights, so that NumPy (the device, without TensorFlow) and TensorFlow
(training, serving) compute the same formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from dshgan_tf.errors import InputError
except ImportError:  # on a device, where the two files lie side by side
    from errors import InputError

COLUMNS = 1024  # of an image that are resized at a time, so that no large image is there as floats
HALF_RANGE = 127.5  # pixels from the middle of their range to either end


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round pixels to whole numbers.

    Args:
        pixels: (..., H, W, C) float, clipped to 0..255.

    Returns:
        The same shape, uint8.
    """
    return np.clip(np.rint(np.asarray(pixels, np.float32)), 0, 255).astype(np.uint8)


def resize_weights(source: int, target: int) -> np.ndarray:
    """Bilinear weights of one axis, half-pixel centres, widened when shrinking so that no pixel is skipped.

    Args:
        source: pixels of the image, at least 1.
        target: pixels wanted, at least 1.

    Returns:
        (target, source) float32; each row sums to 1.

    Raises:
        InputError: a size below 1.
    """
    if source < 1 or target < 1:
        raise InputError(f"sizes must be at least 1 pixel, got {source} -> {target}")
    scale = source / target
    reach = max(scale, 1.0)  # the triangle's half width in source pixels
    centres = (np.arange(target, dtype=np.float64) + 0.5) * scale - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(source)[None, :]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one image.

    Args:
        image: (H, W, C) uint8 or float, 0..255.
        height: pixels wanted.
        width: pixels wanted.

    Returns:
        (height, width, C) float32, 0..255.
    """
    if image.shape[:2] == (height, width):
        return np.asarray(image, np.float32)
    rows = resize_weights(image.shape[0], height)
    columns = resize_weights(image.shape[1], width)
    starts = range(0, image.shape[1], COLUMNS)
    parts = [np.tensordot(rows, np.asarray(image[:, start : start + COLUMNS], np.float32), 1) for start in starts]
    return np.einsum("wj,hjc->hwc", columns, np.concatenate(parts, axis=1), optimize=True).astype(np.float32)


def check_images(images: Any, image_shape: tuple[int, int, int] | None = None, name: str = "images") -> np.ndarray:
    """Check a batch of images at the border and return it as an array.

    Args:
        images: (N, H, W, C) uint8, or float 0..255.
        image_shape: (H, W, C) wanted, or None for any.
        name: what the error message calls it.

    Returns:
        The images as a NumPy array, dtype unchanged (float64 becomes float32).

    Raises:
        InputError: not four axes, another shape, not uint8 or float, not finite, or outside 0..255.
    """
    array = np.asarray(images)
    if array.ndim != 4:
        advice = _missing_axes(array.shape, image_shape)
        raise InputError(f"{name} must be (N, H, W, C), got shape {array.shape}; {advice}")
    if image_shape is not None and tuple(array.shape[1:]) != tuple(image_shape):
        advice = _other_shape(array.shape[1:], image_shape)
        raise InputError(f"{name} are {tuple(array.shape[1:])} but the model takes {tuple(image_shape)}; {advice}")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} must be uint8, or float in 0..255, got dtype {array.dtype}; convert them first")
    if array.dtype != np.uint8 and array.size:
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))[0])
            raise InputError(f"{name} hold NaN or infinity, first in image {bad}; remove or repair it")
        if array.min() < 0 or array.max() > 255:
            centred = array.min() >= -1 and array.max() <= 1
            advice = "pass (images + 1) * 127.5" if centred else "rescale them to 0..255"
            raise InputError(f"{name} must lie in 0..255, got {array.min():.4g}..{array.max():.4g}; {advice}")
        array = array.astype(np.float32, copy=False)
    return array


def _missing_axes(shape: tuple[int, ...], image_shape: tuple[int, int, int] | None) -> str:
    """Say which axis is missing."""
    if len(shape) == 3 and (shape == image_shape or (image_shape is None and shape[2] in (1, 3))):
        return "this is one image: pass images[None]"
    if len(shape) == 3 and (image_shape is None or shape[1:] == image_shape[:2]):
        return "these are grey images without their last axis: pass images[..., None]"
    if len(shape) == 2 and (image_shape is None or shape == image_shape[:2]):
        return "this is one grey image without its other axes: pass images[None, ..., None]"
    return "pass a batch of images, or the paths of image files"


def _other_shape(shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> str:
    """Say what to do with images of another shape."""
    height, width, channels = image_shape
    if shape == (channels, height, width):
        return "these have their channels first: pass np.moveaxis(images, 1, -1)"
    if shape == (height, width, 3):
        return "these are in colour: pass images.mean(axis=-1, keepdims=True)"
    if shape == (height, width, 1):
        return "these are grey: pass images.repeat(3, axis=-1)"
    return "resize them with dshgan_tf.images.preprocessing.resize, or pass the paths of image files"
