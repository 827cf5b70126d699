"""Images side by side, as a picture."""

from __future__ import annotations

import os

import numpy as np

from dshgan_tf.files import atomic_path


def enlarge(images: np.ndarray, zoom: int | None = None) -> np.ndarray:
    """Repeat pixels.

    Args:
        images: (N, H, W, C) uint8.
        zoom: how often; None for about 32 pixels a side at least.

    Returns:
        (N, zoom H, zoom W, C) uint8.
    """
    zoom = zoom or max(1, 32 // images.shape[1])
    return images.repeat(zoom, axis=1).repeat(zoom, axis=2)


def tile(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lay images out in a grid on white.

    Args:
        images: (N, H, W, C) uint8.
        columns: images a row.
        gap: pixels between images.

    Returns:
        (height, width, 3) uint8.
    """
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    canvas = np.full((rows * height + gap, columns * width + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * height, gap + i % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def write_png(target: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 as a PNG file, atomically."""
    from PIL import Image

    with atomic_path(target) as path:
        Image.fromarray(image).save(path, "PNG")
