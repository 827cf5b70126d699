"""The optimizers of the default recipe; their learning rates warm up, then fall to a fiftieth by the last step."""

from __future__ import annotations

import keras

from dshgan_tf.schedules import WarmupLinearDecay


def default_encoder_optimizer(learning_rate: float = 4e-3, weight_decay: float = 0.0) -> keras.optimizers.Optimizer:
    """Return Adam for the CNN and its streams, with decoupled weight decay.

    Args:
        learning_rate: its peak, positive.
        weight_decay: share of every weight that an update takes away, times the learning rate.

    Reference:
        Loshchilov and Hutter, ICLR 2019, AdamW.
    """
    return keras.optimizers.Adam(WarmupLinearDecay(learning_rate), weight_decay=weight_decay or None)


def default_generator_optimizer(learning_rate: float = 1e-3) -> keras.optimizers.Optimizer:
    """Return Adam for the generator, with the short memory that adversarial training likes.

    Args:
        learning_rate: its peak, positive.
    """
    return keras.optimizers.Adam(WarmupLinearDecay(learning_rate), beta_1=0.5)
