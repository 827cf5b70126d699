"""The generator's diversity: against one picture a class."""

from __future__ import annotations

from typing import Any

from keras import ops


def diversity_loss(images: Any, noise: Any, labels: Any, others: tuple[Any, Any, Any]) -> Any:
    """Mode-seeking loss: images of one label set that differ less than their noise are costly.

    Args:
        images: (B, H, W, C) float, synthetic.
        noise: (B, Z) float they were made from.
        labels: (B, L) float they were made with.
        others: images, noise and labels (M rows each) to compare with; an image itself, whose noise is the same, is
            left out.

    Returns:
        (B,) float: mean over the other images of the same label set of |z - z'| / (|x - x'| + 0.1), root mean square
        distances; 0 where there is no other.

    Reference:
        Mao et al., CVPR 2019, mode seeking GANs: the reciprocal of their ratio.
    """
    other_images, other_noise, other_labels = others
    apart = mean_squared_distances(noise, other_noise)
    same = ops.max(ops.abs(labels[:, None] - other_labels[None, :]), axis=-1) < 0.5
    same = ops.cast(ops.logical_and(same, apart > 1e-4), images.dtype)
    ratios = ops.sqrt(apart + 1e-6) / (ops.sqrt(mean_squared_distances(images, other_images) + 1e-6) + 0.1)
    return ops.sum(same * ratios, axis=-1) / ops.maximum(ops.sum(same, axis=-1), 1)


def mean_squared_distances(a: Any, b: Any) -> Any:
    """Compare every row with every other.

    Args:
        a: (A, ...) float.
        b: (M, ...) float, rows of the same shape.

    Returns:
        (A, M) float, mean squared differences.
    """
    a, b = (ops.reshape(rows, (ops.shape(rows)[0], -1)) for rows in (a, b))
    squares = ops.sum(ops.square(a), -1)[:, None] + ops.sum(ops.square(b), -1)[None, :]
    return ops.relu(squares - 2 * ops.matmul(a, ops.transpose(b))) / ops.cast(ops.shape(a)[-1], a.dtype)
