"""The optimizers of the default recipe; their learning rates warm up, then fall to a fiftieth by the last step."""

from __future__ import annotations

from typing import Any

import keras

from dshgan_tf.errors import InputError
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


def choose_optimizers(
    both: str | keras.optimizers.Optimizer | None,
    encoder: str | keras.optimizers.Optimizer | None,
    generator: str | keras.optimizers.Optimizer | None,
) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
    """Choose the optimizers of the two networks from what `DSHGAN.compile` was given.

    Args:
        both: name or optimizer for both; the generator gets a copy, since an optimizer keeps state for one network.
        encoder: of the CNN and its streams.
        generator: of the generator.

    Returns:
        That of the encoder and that of the generator; the recipe's where nothing was given.

    Raises:
        ValueError: no such optimizer, or the same object for both networks.
    """
    if encoder is not None and encoder is generator and not isinstance(encoder, str):
        raise InputError(
            "encoder_optimizer and generator_optimizer are one object, which keeps state for one network; "
            "give two, or optimizer=... for a copy each"
        )
    copy = both if both is None or isinstance(both, str) else keras.saving.serialize_keras_object(both)
    chosen = [
        _get_optimizer("encoder_optimizer", both if encoder is None else encoder),
        _get_optimizer("generator_optimizer", copy if generator is None else generator),
    ]
    defaults = (default_encoder_optimizer, default_generator_optimizer)
    return tuple(default() if given is None else given for given, default in zip(chosen, defaults, strict=True))


def _get_optimizer(name: str, given: Any) -> keras.optimizers.Optimizer | None:
    if given is None:
        return None
    try:
        return keras.optimizers.get(given)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name} must be the name of a Keras optimizer, such as 'adam', or an optimizer; got {given!r}"
        ) from error
