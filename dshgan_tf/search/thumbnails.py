"""Small pictures that an index keeps, so that it can show its answers wherever it lies."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SIDE = 128  # pixels, of the longer side
SMALL = 64  # up to here nothing may be lost, so PNG


def thumbnail_of(picture: Image.Image) -> bytes:
    """Shrink a picture to at most 128 pixels a side.

    Args:
        picture: upright, of any 8-bit mode.

    Returns:
        A JPEG file, or a PNG file of what is small anyway.
    """
    small = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    if max(small.size) > SIDE:
        small = small.copy()
        small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    if max(small.size) <= SMALL:
        small.save(file, "PNG")
    else:
        small.save(file, "JPEG", quality=85)
    return file.getvalue()


def picture_of(image: np.ndarray) -> Image.Image:
    """Return an image (H, W, C) uint8 as a picture."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
