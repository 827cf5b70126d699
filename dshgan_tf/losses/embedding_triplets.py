"""Triplet losses of a batch of labelled embeddings: what TensorFlow Addons had and Keras 3 has not.

Values and gradients equal those of tensorflow-addons 0.23.0, which ended in May 2024 (`tests/golden`).
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from dshgan_tf.errors import InputError

Distance = Literal["L2", "squared-L2", "angular"]
DISTANCES = ("L2", "squared-L2", "angular")


def pairwise_distances(embeddings: Any, distance: Distance = "L2") -> Any:
    """Distances of all pairs of a batch.

    Args:
        embeddings: (B, D) float.
        distance: "L2", "squared-L2", or "angular": 1 - cosine.

    Returns:
        (B, B) float, at least 0, its diagonal 0 but for "angular" (0 up to rounding). At distance 0 the gradient of
        "L2", which has none there, is 0.

    Raises:
        ValueError: another distance.
    """
    if distance not in DISTANCES:
        raise InputError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    if distance == "angular":
        unit = embeddings / ops.sqrt(ops.maximum(ops.sum(ops.square(embeddings), -1, keepdims=True), 1e-12))
        return ops.maximum(1 - ops.matmul(unit, ops.transpose(unit)), 0)
    squares = ops.sum(ops.square(embeddings), -1)
    squared = squares[:, None] + squares[None, :] - 2 * ops.matmul(embeddings, ops.transpose(embeddings))
    apart = ops.cast(squared > 0, squared.dtype) * (1 - ops.eye(ops.shape(squared)[0], dtype=squared.dtype))
    squared = squared * apart
    if distance == "squared-L2":
        return squared
    return ops.sqrt(squared + (1 - apart)) * apart  # the root is not taken at 0, where it has no gradient


def triplet_semihard_loss(labels: Any, embeddings: Any, margin: float = 1.0, distance: Distance = "L2") -> Any:
    """Each pair of one class against its semi-hard negative: the nearest that is farther away than the positive.

    Where no negative is farther, the farthest one is taken. A batch without any pair of one class has the loss 0
    (tensorflow-addons: NaN).

    Args:
        labels: (B,) integer class ids.
        embeddings: (B, D) float.
        margin: positive float.
        distance: see `pairwise_distances`.

    Returns:
        Scalar float: mean of max(0, margin + d(a, p) - d(a, n)) over all pairs (a, p) of one class.

    Reference:
        Schroff, Kalenichenko and Philbin, CVPR 2015 (FaceNet), section 3.2.
    """
    distances = pairwise_distances(embeddings, distance)
    positive, negative = _masks(labels, distances.dtype)
    # (a, p, n): is n another class's and farther from a than p?
    farther = (distances[:, None, :] > distances[:, :, None]) & (negative[:, None, :] > 0)
    far = ops.max(distances) + 1
    nearest_farther = ops.min(ops.where(farther, distances[:, None, :], far), axis=-1)
    farthest = ops.max(ops.where(negative > 0, distances, ops.min(distances, -1, keepdims=True)), axis=-1)
    semihard = ops.where(ops.any(farther, axis=-1), nearest_farther, farthest[:, None])
    hinge = ops.relu(margin + distances - semihard) * positive
    return ops.sum(hinge) / ops.maximum(ops.sum(positive), 1)


def triplet_hard_loss(
    labels: Any, embeddings: Any, margin: float = 1.0, soft: bool = False, distance: Distance = "L2"
) -> Any:
    """Each image with its farthest positive and its nearest negative.

    Args:
        labels: (B,) integer class ids.
        embeddings: (B, D) float.
        margin: positive float; unused where `soft`.
        soft: log(1 + exp(d(a, p) - d(a, n))) instead of the hinge.
        distance: see `pairwise_distances`.

    Returns:
        Scalar float: mean over the batch of max(0, margin + d(a, p) - d(a, n)).

    Reference:
        Hermans, Beyer and Leibe 2017, batch hard.
    """
    distances = pairwise_distances(embeddings, distance)
    positive, negative = _masks(labels, distances.dtype)
    nearest_any, farthest_any = (f(distances, axis=-1, keepdims=True) for f in (ops.min, ops.max))
    hard_positive = ops.max(ops.where(positive > 0, distances, nearest_any), axis=-1)
    hard_negative = ops.min(ops.where(negative > 0, distances, farthest_any), axis=-1)
    difference = hard_positive - hard_negative
    return ops.mean(ops.softplus(difference) if soft else ops.relu(difference + margin))


def _masks(labels: Any, dtype: str) -> tuple[Any, Any]:
    """Who is another image of the same class, and who is of another class, (B, B) each."""
    labels = ops.reshape(labels, (-1,))
    same = ops.cast(labels[:, None] == labels[None, :], dtype)
    return same - ops.eye(ops.shape(same)[0], dtype=dtype), 1 - same


class _BatchLoss(keras.losses.Loss):
    """What both losses share: margin, distance, and a mean that is already taken."""

    def __init__(self, margin: float, distance: Distance, name: str) -> None:
        super().__init__(name=name, reduction="sum")
        if not margin > 0:
            raise InputError(f"margin must be positive, got {margin}")
        if distance not in DISTANCES:
            raise InputError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
        self.margin, self.distance = margin, distance

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"margin": self.margin, "distance": self.distance, "name": self.name}


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletSemiHardLoss(_BatchLoss):
    """`triplet_semihard_loss` as a Keras loss of class ids (B,) and embeddings (B, D).

    Args:
        margin: positive float.
        distance: "L2", "squared-L2" or "angular".
        name: of the loss.

    Raises:
        ValueError: a margin or a distance out of range.
    """

    def __init__(self, margin: float = 1.0, distance: Distance = "L2", name: str = "triplet_semihard_loss") -> None:
        super().__init__(margin, distance, name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss."""
        return triplet_semihard_loss(y_true, y_pred, self.margin, self.distance)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletHardLoss(_BatchLoss):
    """`triplet_hard_loss` as a Keras loss of class ids (B,) and embeddings (B, D).

    Args:
        margin: positive float.
        soft: the soft margin instead of the hinge.
        distance: "L2", "squared-L2" or "angular".
        name: of the loss.

    Raises:
        ValueError: a margin or a distance out of range.
    """

    def __init__(
        self, margin: float = 1.0, soft: bool = False, distance: Distance = "L2", name: str = "triplet_hard_loss"
    ) -> None:
        super().__init__(margin, distance, name)
        self.soft = soft

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss."""
        return triplet_hard_loss(y_true, y_pred, self.margin, self.soft, self.distance)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"soft": self.soft}
