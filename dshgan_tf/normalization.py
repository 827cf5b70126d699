"""Batch normalisation by TensorFlow's fused kernel, and a way to use batch statistics without recording them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from dshgan_tf.replicas import assign_means, global_size

_tracing = threading.local()  # replicas are traced by a thread each, which take turns wherever they meet


def _frozen() -> frozenset[int]:
    """Identities of the layers that record nothing where this thread is."""
    return getattr(_tracing, "frozen", frozenset())


@keras.saving.register_keras_serializable(package="dshgan_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` whose training step on (B, H, W, C) is one fused kernel.

    Keras 3 computes moments and normalisation as separate operations. Everything else (arguments, inference, other
    ranks, statistics synchronised over several replicas) is the parent's.
    """

    @property
    def momentum(self) -> float:
        """Share of the record that a batch leaves; 1 within `frozen_statistics`."""
        return 1.0 if id(self) in _frozen() else self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        self._momentum = value

    def add_weight(self, *args: Any, trainable: bool = True, **kwargs: Any) -> Any:
        """Record the mean over replicas, since one encoder is deployed; Keras lets each keep its own record."""
        aggregation = None if trainable else "mean"
        return super().add_weight(*args, trainable=trainable, aggregation=aggregation, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs`; in training by the batch's statistics, which are also recorded."""
        fusable = inputs.dtype in (tf.float32, tf.float16, tf.bfloat16) and len(inputs.shape) == 4
        alone = not self.synchronized or global_size(1) == 1
        if not training or not self.trainable or not alone or not fusable:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=tf.convert_to_tensor(self.gamma.value),
            offset=tf.convert_to_tensor(self.beta.value),
            epsilon=self.epsilon,
            is_training=True,
        )
        if self.momentum < 1.0:
            self._record(self.moving_mean, mean)
            self._record(self.moving_variance, variance)
        return outputs

    def _record(self, record: Any, value: Any) -> None:
        """Let the record follow; now, or at the end of `recorded_together`."""
        pending = getattr(_tracing, "pending", None)
        before = record.value if pending is None else pending.get(id(record), (record, record.value))[1]
        after = before * self.momentum + value * (1.0 - self.momentum)
        if pending is None:
            record.assign(after)
        else:
            pending[id(record)] = record, after


@contextlib.contextmanager
def recorded_together() -> Iterator[None]:
    """Let what batch normalisations record inside this context be exchanged between replicas in one message.

    One a layer costs more than the training step itself where replicas are processes.
    """
    _tracing.pending = {}
    try:
        yield
        pending = _tracing.pending.values()
    finally:
        _tracing.pending = None
    assign_means([record for record, _ in pending], [value for _, value in pending])


@contextlib.contextmanager
def frozen_statistics(network: keras.Model) -> Iterator[None]:
    """Let a network normalise by the batch but record nothing, while it is traced inside this context.

    A momentum of 1 keeps moving statistics to the bit. It holds for Keras' own layers too, so also for the backbones of
    `keras.applications`.

    Args:
        network: the network whose batch normalisations are frozen.
    """
    layers = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    others = [layer for layer in layers if not isinstance(layer, FusedBatchNormalization)]
    before, momenta = _frozen(), [layer.momentum for layer in others]
    _tracing.frozen = before | {id(layer) for layer in layers}
    for layer in others:
        layer.momentum = 1.0
    try:
        yield
    finally:
        _tracing.frozen = before
        for layer, momentum in zip(others, momenta, strict=True):
            layer.momentum = momentum
