"""What a `.keras` file holds beside the weights: arguments, compile state, and the state of the noise."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from dshgan_tf.config import Objective
from dshgan_tf.errors import InputError


class Saved:
    """Methods of `DSHGAN` that Keras calls when it saves and loads."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; pretrained weights are in the saved file, not downloaded again."""
        return {"name": self.name, **self._arguments, "weights": None}

    def save_own_variables(self, store: Any) -> None:
        """Save what Keras leaves out, so that a resumed training goes on as the other would.

        That is the state of the noise, and that of the metrics, for a training that stops within an epoch.
        """
        super().save_own_variables(store)
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)
        store["encoder_parameters"] = np.int64(self.encoder.count_params())
        for name, variable in self._metric_variables().items():
            store[name] = ops.convert_to_numpy(variable)

    def _metric_variables(self) -> dict[str, Any]:
        return {
            f"metric_{metric.name}_{i}": variable
            for metric in self.metrics
            for i, variable in enumerate(metric.variables)
        }

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` saved.

        Raises:
            ValueError: the file is of a version with another encoder; Keras would load those weights that fit.
        """
        saved = int(np.asarray(store["encoder_parameters"])) if "encoder_parameters" in store.keys() else None
        if saved != self.encoder.count_params():
            raise InputError(
                f"the encoder has {self.encoder.count_params()} parameters, and the file was saved with "
                f"{saved or 'an unknown number of'}, by another version; train again, or use that version"
            )
        self.seed_generator.state.assign(store["seed_state"])
        metrics = self._metric_variables()
        for name in set(metrics) & set(store.keys()):  # loaded without compiling, it may have other metrics
            metrics[name].assign(store[name])
        own = {name: store[name] for name in store.keys() if name.isdecimal()}
        super().load_own_variables(own)

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile` was given, or chose."""
        config = {
            "encoder_optimizer": keras.saving.serialize_keras_object(self.encoder_optimizer),
            "objective": dataclasses.asdict(self.objective),
            "arguments": self._compile_arguments,
        }
        if self.generator is not None:
            config["generator_optimizer"] = keras.saving.serialize_keras_object(self.generator_optimizer)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` says; the optimizers' state follows from the file."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if name.endswith("_optimizer")
        }
        self.compile(objective=Objective(**config["objective"]), **optimizers, **config["arguments"])
