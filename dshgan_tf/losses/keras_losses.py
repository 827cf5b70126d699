"""The losses as `keras.losses.Loss`, for `compile(loss=...)` of any Keras model."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.errors import InputError
from dshgan_tf.losses.batch_triplets import batch_triplet_loss
from dshgan_tf.losses.published import adversary_loss, classification_loss, triplet_loss


class _WithMargin(keras.losses.Loss):
    def __init__(
        self,
        margin: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if margin <= 0:
            raise InputError(f"margin must be positive, got {margin}")
        self.margin = margin

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "margin": self.margin}


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletRankingLoss(_WithMargin):
    """`triplet_loss` for `compile(loss=...)` of any Keras model that outputs the codes of whole triplets.

    Args:
        margin: positive float, in squared distance.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: margin not positive, or predictions that are no triplets.

    Reference:
        Qiu et al., SIGIR 2017, relaxed triplet ranking loss.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses for (B, 3, K) codes of anchors, positives and negatives; y_true does not count."""
        if len(y_pred.shape) != 3 or y_pred.shape[1] != 3:
            raise InputError(f"predictions must be (B, 3, K), anchor, positive, negative; got {tuple(y_pred.shape)}")
        return triplet_loss(*ops.unstack(y_pred, 3, axis=1), self.margin)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class TripletLoss(_WithMargin):
    """`batch_triplet_loss` for `compile(loss=...)` of any Keras model that outputs relaxed codes.

    Args:
        margin: positive float, in squared distance.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: margin not positive.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses for (B, L) labels and (B, K) relaxed codes."""
        y_true = ops.cast(y_true, y_pred.dtype)
        return batch_triplet_loss(y_pred, y_true, y_pred, y_true, self.margin)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class AdversaryLoss(keras.losses.Loss):
    """Cross-entropy of P(real | x): `y_true` (B,) is 1 for real images, `y_pred` (B,) are logits."""

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "adversary_loss", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses."""
        real = ops.cast(y_true, y_pred.dtype)
        return real * adversary_loss(y_pred, real=True) + (1 - real) * adversary_loss(y_pred, real=False)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class ClassificationLoss(keras.losses.Loss):
    """`classification_loss` on (B, L) labels and logits.

    Args:
        multi_label: summed sigmoid cross-entropy instead of softmax cross-entropy.
        reduction: as in `keras.losses.Loss`.
        name: as in `keras.losses.Loss`.
        dtype: as in `keras.losses.Loss`.
    """

    def __init__(
        self,
        multi_label: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "classification_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.multi_label = multi_label

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return (B,) losses."""
        return classification_loss(ops.cast(y_true, y_pred.dtype), y_pred, self.multi_label)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "multi_label": self.multi_label}
