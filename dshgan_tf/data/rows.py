"""Rows of an image array that stays on disk."""

from __future__ import annotations

from typing import Any

import numpy as np


class Rows:
    """Chosen rows of a memory map, read when they are asked for.

    Args:
        images: (N, H, W, C) uint8, usually a memory map.
        chosen: (M,) positions in it.
    """

    def __init__(self, images: np.ndarray, chosen: np.ndarray) -> None:
        self._images, self._chosen = images, chosen
        self.shape, self.dtype = (len(chosen), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        """Return M."""
        return len(self._chosen)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the rows of a slice or of an integer array, in memory."""
        return np.array(self._images[self._chosen[key]])
