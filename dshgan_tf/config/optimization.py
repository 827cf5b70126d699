"""How the two networks are trained."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from dshgan_tf.config.settings import Rate, settings


@settings
class Optimization:
    """Learning rates of the recipe's optimizers, and what happens to an update that is not finite.

    Args:
        encoder_learning_rate: peak of the encoder's schedule.
        generator_learning_rate: peak of the generator's schedule.
        weight_decay: of the encoder, decoupled from the gradients and times the learning rate.
        non_finite: "stop" leaves a loss or gradient that is not finite to `callbacks.StopOnNonFinite`; "skip" leaves
            such an update out, and what it recorded, and counts it.

    Raises:
        ValueError: a value out of range.
    """

    encoder_learning_rate: Rate = 4e-3
    generator_learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    non_finite: Literal["stop", "skip"] = "stop"
