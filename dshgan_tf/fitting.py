"""What surrounds the training steps of `DSHGAN`: `fit`, its checks, and its schedules."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from dshgan_tf.schedules import WarmupLinearDecay


class Fitted:
    """Methods of `DSHGAN` that run its training steps."""

    def fit(
        self,
        x: tf.data.Dataset,
        epochs: int = 1,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        total_steps: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train; ramps and schedules span the total steps.

        Args:
            x: batches from `dshgan_tf.data.triplets`.
            epochs: epoch at which the training ends.
            initial_epoch: epochs already done by this model.
            steps_per_epoch: None for the dataset's own length.
            total_steps: steps that ramps and schedules span, those already done included; None for
                `epochs * steps_per_epoch` and the steps of an earlier `fit`.
            **kwargs: as in `keras.Model.fit`.

        Returns:
            Keras' history.

        Raises:
            ValueError: a dataset of unknown length without steps_per_epoch, or whose batches do not fit the model.
        """
        cardinality = int(x.cardinality())
        if steps_per_epoch is None:
            if cardinality < 1:
                raise ValueError(f"the dataset's length is unknown or infinite ({cardinality}); give steps_per_epoch")
            steps_per_epoch = cardinality
        self._check_batches(x)
        if total_steps is None:
            total_steps = max(0, self.steps_done - initial_epoch * steps_per_epoch) + epochs * steps_per_epoch
        self._stretch_schedules(total_steps)
        # One iterator over the whole training: each of the dataset's iterations is its next epoch.
        kwargs.setdefault("shuffle", False)  # Keras warns that it cannot shuffle a dataset
        stream = x.repeat() if cardinality > 0 else x
        return super().fit(
            stream, epochs=epochs, initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch, **kwargs
        )

    @property
    def steps_done(self) -> int:
        """Training steps that the model has behind it."""
        return int(ops.convert_to_numpy(self.steps))

    def _stretch_schedules(self, total_steps: int) -> None:
        self.total_steps.assign(total_steps)
        updates = {self.encoder_optimizer: total_steps * self.objective.encoder_steps}
        if self.generator is not None:
            updates[self.generator_optimizer] = total_steps
        for optimizer, count in updates.items():
            schedule = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
            if isinstance(schedule, WarmupLinearDecay):
                schedule.set_total_steps(count)

    def _check_batches(self, dataset: tf.data.Dataset) -> None:
        """Compare the dataset's batches with the model before any step."""
        spec = dataset.element_spec
        wanted = {"image": self.image_shape, "label": (self.num_classes,), "label_frequency": (self.num_classes,)}
        if not isinstance(spec, dict) or not set(wanted) <= set(spec):
            raise ValueError(f"fit takes batches of dshgan_tf.data.triplets (dicts), got elements {spec}")
        for name, shape in wanted.items():
            if tuple(spec[name].shape[1:]) != shape:
                raise ValueError(
                    f"batches have {name} of shape {tuple(spec[name].shape[1:])}, the model takes {shape}; "
                    "build it with the image_shape and num_classes of the splits"
                )
        batch_size, replicas = spec["image"].shape[0], self.distribute_strategy.num_replicas_in_sync
        if batch_size is not None and batch_size % replicas:
            raise ValueError(f"batch_size {batch_size} is not divisible by {replicas} replicas; choose a multiple")

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Do nothing: the networks, optimizers and metrics are built by the constructor and `compile`."""

    def _step_logs(self) -> dict[str, Any]:
        """Return the metrics of a step; between processes as rows, of which Keras takes the mean over replicas."""
        logs = self.get_metrics_result()
        between_processes = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
        return {name: value[None] for name, value in logs.items()} if between_processes else logs
