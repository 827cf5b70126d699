"""The real images whose features are nearest to generated ones, so that these can be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np


class NearestImages:
    """Show features by the images that have the most alike.

    Args:
        features: (N, F) float32 of the images.
        images: (N, H, W, C) uint8, or a sequence that decodes on indexing with an integer array.
    """

    def __init__(self, features: np.ndarray, images: Any) -> None:
        self.features, self.images = features, images

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the nearest image of each feature vector, by Euclidean distance.

        Args:
            features: (M, F) float32.

        Returns:
            (M, H, W, C) uint8.
        """
        import faiss

        wanted, known = (np.ascontiguousarray(rows, np.float32) for rows in (features, self.features))
        _, nearest = faiss.knn(wanted, known, 1)
        return np.asarray(self.images[nearest[:, 0]])
