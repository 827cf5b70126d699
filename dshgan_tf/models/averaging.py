"""The moving average of the encoder's weights, which is what encodes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.models.normalization import all_layers
from dshgan_tf.replicas import assign_alike


def update_average(average: keras.Model, network: keras.Model, updates: Any, decay: float) -> None:
    """Move the averaged weights towards the trained ones; faster at first, when an average would be mostly old.

    Args:
        average: network that keeps the averages.
        network: network of the same layers that trains; the weights of layers that do not are left as they are.
        updates: scalar, updates of `network` so far.
        decay: in [0, 1), share of the old average that stays; less in the first updates.
    """
    frozen = {id(weight) for layer in all_layers(network) if not layer.trainable for weight in layer.weights}
    pairs = zip(average.weights, network.weights, strict=True)
    pairs = [(before, weight) for before, weight in pairs if id(weight) not in frozen]
    step = ops.cast(updates, "float32")
    decay = ops.minimum(decay, step / (step + 10.0))

    def mean(before: Any, weight: Any) -> Any:
        keep = ops.cast(decay, before.dtype)
        return keep * before + (1 - keep) * ops.convert_to_tensor(weight)

    assign_alike([before for before, _ in pairs], [mean(before, weight) for before, weight in pairs])
