"""The one definition of what happens to pixels before the encoder: resize, then scale to [-1, 1].

Resizing is two matrix products with bilinear weights, so that NumPy (the device, without TensorFlow) and TensorFlow
(training, serving) compute the same formula.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

MAX_PIXELS = 1 << 24  # of an image file; 16.8 million pixels are 200 MB while they are resized
MAX_SIDE = 1 << 14  # the weights of a resize are target x side


def to_network_range(images: Any) -> Any:
    """Map pixel values 0..255 to [-1, 1].

    Args:
        images: (..., H, W, C) float array or tensor, 0..255.

    Returns:
        The same shape and type, in [-1, 1].
    """
    return images / 127.5 - 1.0


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Map [-1, 1] to uint8 0..255, the inverse of `to_network_range` up to rounding.

    Args:
        images: (..., H, W, C) float, clipped to [-1, 1].

    Returns:
        The same shape, uint8.
    """
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def resize_weights(source: int, target: int) -> np.ndarray:
    """Bilinear weights of one axis, half-pixel centres, widened when shrinking so that no pixel is skipped.

    Args:
        source: pixels of the image, at least 1.
        target: pixels wanted, at least 1.

    Returns:
        (target, source) float32; each row sums to 1.

    Raises:
        ValueError: a size below 1.
    """
    if source < 1 or target < 1:
        raise ValueError(f"sizes must be at least 1 pixel, got {source} -> {target}")
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
    image = np.asarray(image, np.float32)
    if image.shape[:2] == (height, width):
        return image
    rows = resize_weights(image.shape[0], height)
    columns = resize_weights(image.shape[1], width)
    return np.einsum("hi,ijc,wj->hwc", rows, image, columns, optimize=True).astype(np.float32)


def check_images(images: Any, image_shape: tuple[int, int, int] | None = None, name: str = "images") -> np.ndarray:
    """Check a batch of images at the border and return it as an array.

    Args:
        images: (N, H, W, C) uint8, or float 0..255.
        image_shape: (H, W, C) wanted, or None for any.
        name: what the error message calls it.

    Returns:
        The images as a NumPy array, dtype unchanged (float64 becomes float32).

    Raises:
        ValueError: not four axes, another shape, not uint8 or float, not finite, or outside 0..255.
    """
    array = np.asarray(images)
    if array.ndim != 4:
        raise ValueError(
            f"{name} must be (N, H, W, C), got shape {array.shape}; add the missing axis, for example images[..., None]"
        )
    if image_shape is not None and tuple(array.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"{name} are {tuple(array.shape[1:])} but the model takes {tuple(image_shape)}; "
            "resize them with dshgan_tf.preprocessing.resize"
        )
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{name} must be uint8, or float in 0..255, got dtype {array.dtype}; convert them first")
    if array.dtype != np.uint8 and array.size:
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))[0])
            raise ValueError(f"{name} hold NaN or infinity, first in image {bad}; remove or repair it")
        if array.min() < 0 or array.max() > 255:
            raise ValueError(
                f"{name} must lie in 0..255, got {array.min():.4g}..{array.max():.4g}; rescale them to 0..255"
            )
        array = array.astype(np.float32, copy=False)
    return array


def read_image(path: str, image_shape: tuple[int, int, int], contents: bytes | None = None) -> np.ndarray:
    """Read an image file, apply its EXIF rotation, convert to the wanted channels, resize.

    Args:
        path: a file that Pillow reads.
        image_shape: (H, W, C) wanted, C 1 (grey) or 3 (RGB).
        contents: of a file that is not on disk by itself; `path` is then its name.

    Returns:
        (H, W, C) float32, 0..255.

    Raises:
        ValueError: the file is missing, is no image or is too large; it names the file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    height, width, channels = image_shape
    try:
        opened = Image.open(path if contents is None else io.BytesIO(contents))
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        reason = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"cannot read {path} as an image ({reason}); give a JPEG or PNG file") from error
    with opened:
        if max(opened.size) > MAX_SIDE or opened.size[0] * opened.size[1] > MAX_PIXELS:
            raise ValueError(
                f"{path} is {opened.size[0]} x {opened.size[1]} pixels; at most {MAX_PIXELS} pixels and {MAX_SIDE} "
                "on a side are read: shrink it first"
            )
        try:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):  # nobody says what is white
                raise ValueError("pixels of 32 bits; convert it to 8 or 16")
            image = image.convert("L" if channels == 1 else "RGB")
        except Exception as error:
            raise ValueError(f"cannot read {path} as an image ({error}); give a JPEG or PNG file") from error
    array = np.asarray(image)
    return resize(array.reshape(array.shape[0], array.shape[1], channels), height, width)
