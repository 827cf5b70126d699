"""Bits that tell single images apart, whatever their classes are: signs of principal components, rotated."""

from __future__ import annotations

import numpy as np

SPREAD = 2.0  # standard deviation of the logits of a bit


def learn_projection(rows: np.ndarray, num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Learn a linear map to bits that keep near what is near: iterative quantisation, without any label.

    Principal components are rotated towards the corners of the cube. Where images or features are too few for so many
    components, the other bits are signs of random projections.

    Args:
        rows: (N, F) float32, features of N training images, N at least 2.
        num_bits: M.

    Returns:
        Weights (F, M) and biases (M,) float32, of the logits of the bits: mean 0, standard deviation 2.

    Reference:
        Gong and Lazebnik, "Iterative quantization", CVPR 2011.
    """
    import faiss
    from sklearn.decomposition import PCA

    found = min(num_bits, len(rows) - 1, rows.shape[1])
    weights = np.random.default_rng(0).standard_normal((rows.shape[1], num_bits), np.float32)
    if np.ptp(rows, axis=0).any():
        components = PCA(found, svd_solver="covariance_eigh" if rows.shape[1] <= len(rows) else "full").fit(rows)
        rotation = faiss.ITQMatrix(found)
        rotation.train(np.ascontiguousarray(components.transform(rows), np.float32))
        weights[:, :found] = components.components_.T @ rotation.apply(np.eye(found, dtype=np.float32))
    weights *= SPREAD / np.maximum((rows @ weights).std(axis=0), 1e-12)
    return weights, -rows.mean(axis=0) @ weights
