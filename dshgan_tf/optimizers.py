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
    chosen = [
        _get_optimizer("encoder_optimizer", encoder) or _get_optimizer("optimizer", both),
        _get_optimizer("generator_optimizer", generator) or _get_optimizer("optimizer", _copied(both)),
    ]
    if chosen[0] is not None and chosen[0] is chosen[1]:
        raise InputError(
            "both networks were given one optimizer object, which keeps state for one network; "
            "give two, or optimizer=... alone for a copy each"
        )
    defaults = (default_encoder_optimizer, default_generator_optimizer)
    return tuple(default() if given is None else given for given, default in zip(chosen, defaults, strict=True))


def _copied(optimizer: Any) -> Any:
    """What makes an optimizer like this one."""
    if optimizer is None or isinstance(optimizer, str | dict):
        return optimizer
    try:
        return keras.saving.serialize_keras_object(optimizer)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"optimizer {optimizer!r} cannot be copied for the generator ({error}); give encoder_optimizer and "
            "generator_optimizer"
        ) from error


def _get_optimizer(name: str, given: Any) -> keras.optimizers.Optimizer | None:
    if given is None:
        return None
    try:
        return keras.optimizers.get(given)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{name} must be the name of a Keras optimizer, such as 'adam', or an optimizer; got {given!r}"
        ) from error
