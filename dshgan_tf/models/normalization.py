"""Batch normalisation that is cheap on one device and on many; its records made together, or not at all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from dshgan_tf.replicas import assign_means, replicas_here

_tracing = threading.local()  # replicas are traced by a thread each, which take turns wherever they meet


def _frozen() -> frozenset[int]:
    """Identities of the layers that record nothing where this thread is."""
    return getattr(_tracing, "frozen", frozenset())


@keras.saving.register_keras_serializable(package="dshgan_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` whose training step is cheap.

    On one device a batch (B, H, W, C) is normalised by one fused kernel, where Keras 3 computes moments and
    normalisation as separate operations; statistics synchronised over several replicas take one exchange. What is
    recorded, arguments, inference, masks and other layouts are the parent's.
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
        last = self.axis in (-1, len(inputs.shape) - 1)
        if not training or not self.trainable or mask is not None or self.renorm or not last:
            return super().call(inputs, training=training, mask=mask)
        if self.synchronized and replicas_here() > 1:
            outputs, mean, variance = self._normalise_together(inputs)
        elif inputs.dtype in (tf.float32, tf.float16, tf.bfloat16) and len(inputs.shape) == 4:
            outputs, mean, variance = self._normalise_fused(inputs)
        else:
            return super().call(inputs, training=training, mask=mask)
        if self.momentum < 1.0:
            self._record(self.moving_mean, mean)
            self._record(self.moving_variance, variance)
        return outputs

    def _scale_and_offset(self, channels: int, dtype: Any) -> tuple[Any, Any]:
        scale = tf.ones(channels, dtype) if self.gamma is None else tf.cast(self.gamma.value, dtype)
        offset = tf.zeros(channels, dtype) if self.beta is None else tf.cast(self.beta.value, dtype)
        return scale, offset

    def _normalise_fused(self, inputs: Any) -> tuple[Any, Any, Any]:
        """Normalise by this replica's batch."""
        channels = inputs.shape[-1]
        scale, offset = self._scale_and_offset(channels, tf.float32)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.size(inputs) // channels, tf.float32)
        return outputs, mean, variance * (count - 1.0) / count  # the kernel divides by count - 1

    def _normalise_together(self, inputs: Any) -> tuple[Any, Any, Any]:
        """Normalise by the batch of all replicas."""
        x = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
        others = list(range(len(x.shape) - 1))
        moments = tf.stack([tf.reduce_mean(x, others), tf.reduce_mean(tf.square(x), others)])
        moments = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, moments)
        mean, variance = moments[0], tf.maximum(moments[1] - tf.square(moments[0]), 0.0)
        scale, offset = self._scale_and_offset(x.shape[-1], x.dtype)
        outputs = tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon)
        return tf.cast(outputs, inputs.dtype), mean, variance

    def _record(self, record: Any, value: Any) -> None:
        """Let the record follow; now, or at the end of `recorded_together`."""
        pending = getattr(_tracing, "pending", None)
        before = record.value if pending is None else pending.get(id(record), (record, record.value))[1]
        after = before * self.momentum + tf.cast(value, record.dtype) * (1.0 - self.momentum)
        if pending is None:
            record.assign(after)
        else:
            pending[id(record)] = record, after


def all_layers(network: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a network and of the models in it, from the input on."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        else:
            yield layer


@contextlib.contextmanager
def recorded_together() -> Iterator[None]:
    """Let what batch normalisations record inside this context be exchanged between replicas in one message.

    One a layer costs more than the training step itself where replicas are processes.
    """
    outer, pending = getattr(_tracing, "pending", None), {}
    _tracing.pending = pending
    try:
        yield
    finally:
        _tracing.pending = outer
    assign_means([record for record, _ in pending.values()], [value for _, value in pending.values()])


@contextlib.contextmanager
def frozen_statistics(network: keras.Model) -> Iterator[None]:
    """Let a network normalise by the batch but record nothing, while it is traced inside this context.

    A momentum of 1 keeps moving statistics to the bit. It holds for Keras' own layers too, so also for the backbones of
    `keras.applications`.

    Args:
        network: the network whose batch normalisations are frozen.
    """
    layers = [layer for layer in all_layers(network) if isinstance(layer, keras.layers.BatchNormalization)]
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
