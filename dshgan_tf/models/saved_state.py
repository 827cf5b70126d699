"""What a `.keras` file holds beside weights and arguments: how the model was compiled, and where training stood."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from dshgan_tf.config import Objective, Optimization
from dshgan_tf.errors import InputError


def save(model: keras.Model, store: Any) -> None:
    """Save the state of the noise, and that of the metrics, for a training that stops within an epoch."""
    store["seed_state"] = ops.convert_to_numpy(model.seed_generator.state)
    store["encoder_parameters"] = np.int64(model.encoder.count_params())
    for name, variable in _metric_variables(model).items():
        store[name] = ops.convert_to_numpy(variable)


def load(model: keras.Model, store: Any) -> None:
    """Load what `save` saved.

    Raises:
        ValueError: the file is of a version with another encoder; Keras would load those weights that fit.
    """
    saved = int(np.asarray(store["encoder_parameters"])) if "encoder_parameters" in store.keys() else None
    if saved != model.encoder.count_params():
        raise InputError(
            f"the encoder has {model.encoder.count_params()} parameters, and the file was saved with "
            f"{saved or 'an unknown number of'}, by another version; train again, or use that version"
        )
    model.seed_generator.state.assign(store["seed_state"])
    metrics = _metric_variables(model)
    for name in set(metrics) & set(store.keys()):  # loaded without compiling, it may have other metrics
        metrics[name].assign(store[name])


def _metric_variables(model: keras.Model) -> dict[str, Any]:
    return {
        f"metric_{metric.name}_{i}": variable for metric in model.metrics for i, variable in enumerate(metric.variables)
    }


def compile_config(model: keras.Model, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what `compile` was given, or chose.

    Args:
        model: compiled.
        arguments: of `keras.Model.compile`.
    """
    config = {
        "objective": dataclasses.asdict(model.given_objective),
        "optimization": dataclasses.asdict(model.optimization),
        "arguments": arguments,
    }
    for name in ("encoder", "generator"):
        player = getattr(model, f"{name}_player")
        if player is not None and player.schedule is None:  # not the recipe's, which `optimization` describes
            config[f"{name}_optimizer"] = keras.saving.serialize_keras_object(player.optimizer)
    return config


def compile_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `compile` that `compile_config` described."""
    given = {
        name: keras.saving.deserialize_keras_object(value)
        for name, value in config.items()
        if name.endswith("_optimizer")
    }
    objective, optimization = Objective(**config["objective"]), Optimization(**config["optimization"])
    return {"objective": objective, "optimization": optimization, **given, **config["arguments"]}
