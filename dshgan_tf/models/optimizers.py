"""The optimizers of the two networks; the recipe's warm up, then fall to a fiftieth by the last step."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from dshgan_tf.config import Optimization
from dshgan_tf.errors import InputError
from dshgan_tf.models.warmup_linear_decay import WarmupLinearDecay

Given = str | keras.optimizers.Optimizer | None


class WarmedUp(NamedTuple):
    """An optimizer, and its schedule where that is ours and must be told the length of the training."""

    optimizer: keras.optimizers.Optimizer
    schedule: WarmupLinearDecay | None = None


def recipe_encoder_optimizer(optimization: Optimization) -> WarmedUp:
    """Return Adam for the CNN and its streams, with decoupled weight decay.

    Reference:
        Loshchilov and Hutter, ICLR 2019, AdamW.
    """
    schedule = WarmupLinearDecay(optimization.encoder_learning_rate)
    return WarmedUp(keras.optimizers.Adam(schedule, weight_decay=optimization.weight_decay or None), schedule)


def recipe_generator_optimizer(optimization: Optimization) -> WarmedUp:
    """Return Adam for the generator, with the short memory that adversarial training likes."""
    schedule = WarmupLinearDecay(optimization.generator_learning_rate)
    return WarmedUp(keras.optimizers.Adam(schedule, beta_1=0.5), schedule)


def choose_optimizers(
    both: Given, encoder: Given, generator: Given, optimization: Optimization
) -> tuple[WarmedUp, ...]:
    """Choose the optimizers of the two networks from what `DSHGAN.compile` was given.

    Args:
        both: name or optimizer for both; the generator gets a copy, since an optimizer keeps state for one network.
        encoder: of the CNN and its streams.
        generator: of the generator.
        optimization: of the recipe's optimizers, where nothing was given.

    Returns:
        That of the encoder and that of the generator.

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
    recipes = (recipe_encoder_optimizer, recipe_generator_optimizer)
    return tuple(
        recipe(optimization) if given is None else WarmedUp(given)
        for given, recipe in zip(chosen, recipes, strict=True)
    )


def _copied(optimizer: Any) -> Any:
    """Return what makes an optimizer like this one."""
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
