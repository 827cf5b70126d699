"""What surrounds the training steps of `DSHGAN`: `fit`, its checks, and its schedules."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from dshgan_tf.data.splits import splits_to_train
from dshgan_tf.data.triplets import triplets
from dshgan_tf.errors import InputError
from dshgan_tf.schedules import WarmupLinearDecay


class Fitted:
    """Methods of `DSHGAN` that run its training steps."""

    def fit(
        self,
        x: tf.data.Dataset | Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        total_steps: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train; ramps and schedules span the total steps.

        Args:
            x: batches from `dshgan_tf.data.triplets`; or images (N, H, W, C), uint8 or float in 0..255.
            y: labels of these images, class ids (N,), -1 where unlabelled, or multi-hot (N, L), zeros where unlabelled.
            batch_size: of images in arrays, labelled ones a step; None for 64, or all images where there are fewer.
            epochs: epoch at which the training ends.
            initial_epoch: epochs already done by this model.
            steps_per_epoch: None for the dataset's own length.
            total_steps: steps that ramps and schedules span, those already done included; None for
                `epochs * steps_per_epoch` and the steps of an earlier `fit`.
            **kwargs: as in `keras.Model.fit`.

        Returns:
            Keras' history.

        Raises:
            ValueError: a dataset of unknown length without steps_per_epoch, data that do not fit the model, or
                validation data, for which `callbacks.RetrievalEvaluation` is there.
        """
        if foreign := sorted({"validation_data", "validation_split", "sample_weight", "class_weight"} & set(kwargs)):
            raise InputError(
                f"fit does not take {', '.join(foreign)}; to validate give dsh.callbacks.RetrievalEvaluation(splits)"
            )
        x = self._as_batches(x, y, batch_size)
        cardinality = int(x.cardinality())
        if steps_per_epoch is None:
            if cardinality < 1:
                raise InputError(f"the dataset's length is unknown or infinite ({cardinality}); give steps_per_epoch")
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

    def _as_batches(self, x: Any, y: Any, batch_size: int | None) -> tf.data.Dataset:
        """Return the training batches of a dataset, which is one already, or of arrays."""
        if isinstance(x, tf.data.Dataset):
            if y is not None or batch_size is not None:
                raise InputError("a dataset has labels and batches of its own; leave y and batch_size out")
            return x
        if y is None:
            raise InputError(
                "fit takes images and labels (-1: unlabelled), fit(x, y), or batches of dsh.data.triplets(splits); "
                f"got {type(x).__name__} alone"
            )
        splits = splits_to_train(x, y, self.num_classes, self.multi_label)
        at_most = len(splits.labeled) + len(splits.unlabeled)
        return triplets(splits, min(64, at_most) if batch_size is None else batch_size)

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
            raise InputError(f"fit takes batches of dshgan_tf.data.triplets (dicts), got elements {spec}")
        for name, shape in wanted.items():
            if tuple(spec[name].shape[1:]) != shape:
                raise InputError(
                    f"batches have {name} of shape {tuple(spec[name].shape[1:])}, the model takes {shape}; "
                    "build it with the image_shape and num_classes of the splits"
                )
        batch_size, replicas = spec["image"].shape[0], self.distribute_strategy.num_replicas_in_sync
        if batch_size is not None and batch_size % replicas:
            raise InputError(f"batch_size {batch_size} is not divisible by {replicas} replicas; choose a multiple")

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Do nothing: the networks, optimizers and metrics are built by the constructor and `compile`."""

    def _step_logs(self) -> dict[str, Any]:
        """Return the metrics of a step; between processes as rows, of which Keras takes the mean over replicas."""
        logs = self.get_metrics_result()
        between_processes = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
        return {name: value[None] for name, value in logs.items()} if between_processes else logs
