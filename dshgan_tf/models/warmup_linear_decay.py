"""Learning rate over one training of a length known only at `fit`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dshgan_tf.errors import InputError


@keras.saving.register_keras_serializable(package="dshgan_tf")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly over the first share of the training, then fall linearly to a share of the peak.

    `DSHGAN.fit` sets `total_steps`, so one recipe serves runs of any length.

    Args:
        peak: highest learning rate, positive.
        warmup: share of the training in [0, 1) over which the rate rises.
        final: last rate as a share of `peak`.
        total_steps: optimizer updates of the whole training.

    Raises:
        ValueError: peak not positive.
    """

    def __init__(self, peak: float, warmup: float = 0.05, final: float = 0.02, total_steps: int = 1000) -> None:
        if peak <= 0:
            raise InputError(f"peak learning rate must be positive, got {peak}")
        self.peak, self.warmup, self.final = peak, warmup, final
        with tf.init_scope():
            self._total_steps = tf.Variable(float(total_steps), trainable=False, dtype=tf.float32)

    def set_total_steps(self, total_steps: int) -> None:
        """Stretch the schedule over `total_steps` updates."""
        self._total_steps.assign(float(total_steps))

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`, a float32 scalar."""
        progress = tf.minimum(tf.cast(step, tf.float32) / self._total_steps, 1.0)
        rise = (tf.cast(step, tf.float32) + 1.0) / tf.maximum(self.warmup * self._total_steps, 1.0)
        fall = 1.0 - (1.0 - self.final) * tf.maximum(progress - self.warmup, 0.0) / (1.0 - self.warmup)
        return self.peak * tf.minimum(rise, fall)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the length set by `fit`."""
        total_steps = int(keras.ops.convert_to_numpy(self._total_steps))
        return {"peak": self.peak, "warmup": self.warmup, "final": self.final, "total_steps": total_steps}
