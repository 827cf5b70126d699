"""Shift: images that mean the same and look different, at severity 1 to 5.

Lengths are shares of the image's shorter side, so that a severity means about the same at any size.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.images.preprocessing import check_images

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: np.ndarray, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Corrupt images, always in the same way for the same arguments.

    All severities of a kind share their random numbers (the places, signs and noise), so that they differ in strength
    alone.

    Args:
        images: (N, H, W, C) uint8.
        kind: one of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (strong).
        seed: of noise, places and signs.

    Returns:
        (N, H, W, C) uint8.

    Raises:
        ValueError: an unknown kind, a severity out of range, or images that are no uint8 batch.

    Reference:
        Hendrycks and Dietterich, ICLR 2019 (the idea of kinds and severities; the strengths here are our own).
    """
    if kind not in CORRUPTIONS:
        raise InputError(f"unknown corruption {kind!r}; choose from {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1 to 5, got {severity!r}")
    images = check_images(images)
    if images.dtype != np.uint8:
        raise InputError(f"images to corrupt must be uint8, got {images.dtype}; round them first")
    function, strengths = CORRUPTIONS[kind]
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(kind)])
    corrupted = function(images.astype(np.float32), strengths[severity - 1], rng) if len(images) else images
    return np.clip(np.rint(corrupted), 0, 255).astype(np.uint8)


def _side(images: np.ndarray) -> int:
    return min(images.shape[1:3])


def _gaussian_noise(images: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise whose deviation is a share of the pixel range."""
    return images + 255 * deviation * rng.standard_normal(images.shape, np.float32)


def _blur(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by a Gaussian whose deviation is a share of the side and a quarter of a pixel, below which none is seen."""
    from scipy.ndimage import gaussian_filter

    sigma = 0.25 + share * _side(images)
    return gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")


def _contrast(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Draw every pixel towards its image's mean."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + factor * (images - mean)


def _brightness(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Add a share of the pixel range to every pixel."""
    return images + 255 * share


def _jpeg(images: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Compress and decompress."""
    from PIL import Image

    def through_file(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8).squeeze()).save(file, "JPEG", quality=int(quality))
        return np.asarray(Image.open(file), np.float32).reshape(image.shape)

    return np.stack([through_file(image) for image in images])


def _pixelate(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Give every pixel the mean of its cell, for a grid with a share of the cells that there are pixels."""
    for axis in (1, 2):
        size = images.shape[axis]
        cells = max(1, round(factor * size))
        starts = -(-np.arange(cells) * size // cells)  # rounded up
        lengths = np.diff(np.append(starts, size))
        shape = [-1 if i == axis else 1 for i in range(4)]
        images = np.repeat(np.add.reduceat(images, starts, axis) / lengths.reshape(shape), lengths, axis)
    return images


def _occlusion(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Cover a square, its side a share of the image's, with mid grey at a random place."""
    side = max(1, round(share * _side(images)))
    places = rng.random((len(images), 2))
    covered = images.copy()
    for image, (y, x) in zip(covered, places, strict=True):
        top, left = int(y * (image.shape[0] - side + 1)), int(x * (image.shape[1] - side + 1))
        image[top : top + side, left : left + side] = 127
    return covered


def _rotation(images: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Rotate about the centre, to the left or to the right; the border is continued outwards."""
    from scipy.ndimage import rotate

    signs = rng.choice([-1.0, 1.0], len(images))
    turned = [
        rotate(image, sign * degrees, reshape=False, order=1, mode="nearest")
        for image, sign in zip(images, signs, strict=True)
    ]
    return np.stack(turned)


Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

# Kind -> what does it, and its strength at severity 1 to 5. Append only: a kind's place is part of its seed.
CORRUPTIONS: MappingProxyType[str, tuple[Corruption, tuple[float, ...]]] = MappingProxyType(
    {
        "gaussian_noise": (_gaussian_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
        "blur": (_blur, (0.015, 0.025, 0.04, 0.055, 0.075)),
        "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
        "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
        "jpeg": (_jpeg, (50, 30, 20, 12, 7)),
        "pixelate": (_pixelate, (0.8, 0.65, 0.5, 0.4, 0.3)),
        "occlusion": (_occlusion, (0.2, 0.3, 0.4, 0.5, 0.6)),
        "rotation": (_rotation, (5, 10, 15, 20, 30)),
    }
)
