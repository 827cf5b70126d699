"""DSH-GANs as a Keras model: it composes encoder, averaged encoder and generator, and trains them in turn."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dshgan_tf.config import Method, Network, Objective, Optimization, check_adversary, choose_method
from dshgan_tf.config.objective import FEW_LABELS
from dshgan_tf.errors import InputError
from dshgan_tf.models import saved_state
from dshgan_tf.models.alternating_training import AlternatingTraining, Tensors
from dshgan_tf.models.augmenter import Augmenter
from dshgan_tf.models.generator import Generator
from dshgan_tf.models.hash_encoder import HashEncoder
from dshgan_tf.models.optimizers import Given, choose_optimizers
from dshgan_tf.models.player import Player
from dshgan_tf.models.precision import dtype_policy
from dshgan_tf.models.training_batches import as_batches, check_batches, some_images, tell_labels
from dshgan_tf.models.training_metrics import TrainingMetrics


@keras.saving.register_keras_serializable(package="dshgan_tf")
class DSHGAN(AlternatingTraining):
    """Learn binary codes from few labelled and many unlabelled images, with method="dsh-gan" by a conditional GAN.

    A moving average of the encoder's weights is what encodes and exports. How it learns is in `AlternatingTraining`.

    Args:
        num_bits: K, length of a code.
        num_classes: L.
        image_shape: (H, W, C), C 1 or 3.
        method: "dsh-gan"; "semi-supervised" leaves out generator and adversary and keeps every other use of unlabelled
            images; "supervised" trains the same encoder on the labelled ones alone; None as in `RunConfig`.
        multi_label: whether an image may have several labels (sigmoid instead of softmax).
        network: architecture of encoder and generator; None for the recipe's. A mapping of its fields is taken too.
        precision: Keras dtype policy of what trains, kept in the saved file; None for the one now set. The averaged
            encoder, which encodes and is exported, computes in float32 under any mixed policy.
        seed: of noise and augmentation; weights follow `keras.utils.set_random_seed`.
        gan: False is short for method="supervised", the baseline.
        trunk: as in `HashEncoder`.
        **kwargs: as in `keras.Model`.

    Raises:
        ValueError: an argument out of range; the message names it.

    Example:
        >>> model = DSHGAN(num_bits=32, num_classes=10, image_shape=(8, 8, 1))
        >>> model.compile()

    Reference:
        Qiu, Pan, Yao, Mei: Deep Semantic Hashing with Generative Adversarial Networks. SIGIR 2017, arXiv 1804.08275.
    """

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        image_shape: tuple[int, int, int],
        method: Method | None = None,
        multi_label: bool = False,
        network: Network | Mapping[str, Any] | None = None,
        precision: str | None = None,
        seed: int = 0,
        gan: bool = True,
        trunk: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        network = Network.of(network)
        self.method, self.seed = choose_method(method, gan, network, multi_label), seed
        self.precision = precision or keras.config.dtype_policy().name
        self._build_networks(num_bits, num_classes, image_shape, multi_label, network, trunk)
        self.label_frequency = self.add_weight(
            shape=(self.num_classes,), initializer="zeros", trainable=False, name="label_frequency"
        )
        self._set_objective(Objective())
        self.built = True

    def _build_networks(
        self, num_bits: int, num_classes: int, image_shape: Any, multi_label: bool, network: Network, trunk: Any
    ) -> None:
        if self.method == "supervised" and network.instance_bits is None:
            network = dataclasses.replace(network, instance_bits=0)  # these are learnt from unlabelled images
        with dtype_policy(self.precision):
            self.encoder = HashEncoder(num_bits, num_classes, image_shape, network, multi_label, trunk)
            config = self.encoder.get_config()
            with dtype_policy(keras.config.floatx()):  # what encodes is never rounded to 16 bits, and exports as it is
                self.average_encoder = HashEncoder.from_config(config)
            self.average_encoder.trainable = False
            self.average_encoder.set_weights(self.encoder.get_weights())
            self.generator = None
            if self.method == "dsh-gan":
                of_features = self.encoder.network.generates_features
                made = (self.encoder.num_features,) if of_features else image_shape
                self.generator = Generator(num_classes, made, self.encoder.network)
            elif self.encoder.network.adversary == "own":
                (self.encoder.head or self.encoder).get_layer("adversary").trainable = False  # nothing teaches it
        self.num_bits, self.num_classes = self.encoder.num_bits, self.encoder.num_classes
        self.image_shape, self.multi_label = self.encoder.image_shape, multi_label
        self.uses_unlabeled = self.method != "supervised"

    def _set_objective(self, objective: Objective) -> None:
        taught = self.encoder.network.has_hidden_layer and (self.trains_on_features or not self.encoder.network.frozen)
        self.objective = objective.resolve(self.encoder.semantic_bits, self.multi_label, taught)
        self.threshold.assign(objective.threshold_for(FEW_LABELS))
        self.training_metrics = TrainingMetrics(self.objective, self.uses_unlabeled, self.generator is not None)
        self.augmenter = Augmenter(self.seed_generator, objective.augment, holes=not self.multi_label)

    def compile(
        self,
        optimizer: Given = None,
        *,
        encoder_optimizer: Given = None,
        generator_optimizer: Given = None,
        objective: Objective | None = None,
        optimization: Optimization | None = None,
        **kwargs: Any,
    ) -> None:
        """Set what is minimised and how; the defaults are the default recipe.

        Args:
            optimizer: of both networks, a name such as "adam" or an optimizer, of which the generator gets a copy; None
                for the recipe's two.
            encoder_optimizer: of the CNN and its streams, instead of `optimizer`.
            generator_optimizer: of the generator, instead of `optimizer`.
            objective: weights, margin and ramps; None for the recipe's.
            optimization: learning rates of the recipe's optimizers, and what happens to updates that are not finite.
            **kwargs: `run_eagerly`, `jit_compile`, `steps_per_execution` as in `keras.Model.compile`.

        Raises:
            ValueError: an unknown optimizer, one optimizer for both networks, an objective for another adversary, or a
                loss or metric, which are the method's own.
        """
        objective, optimization = objective or Objective(), optimization or Optimization()
        check_adversary(objective, self.encoder.network)
        chosen = choose_optimizers(optimizer, encoder_optimizer, generator_optimizer, optimization)
        if foreign := sorted(set(kwargs) - {"run_eagerly", "jit_compile", "steps_per_execution", "auto_scale_loss"}):
            raise InputError(
                f"compile got {', '.join(foreign)}: losses and metrics are the method's own; "
                "set weights and margin by objective=dsh.Objective(...)"
            )
        kwargs.pop("auto_scale_loss", None)  # Keras passes it when it loads a model
        kwargs.setdefault("jit_compile", False)  # graph mode with oneDNN beats XLA on a CPU
        self._set_objective(objective)
        self.given_objective, self.optimization, self._compile_arguments = objective, optimization, kwargs
        how = {
            "metrics": self.training_metrics,
            "loss_scale": self.precision == "mixed_float16",
            "skip_non_finite": optimization.non_finite == "skip",
        }
        self.encoder_player = Player(self.encoder, chosen[0], **how)
        self.encoder_optimizer, self.generator_player = self.encoder_player.optimizer, None
        if self.generator is not None:
            self.generator_player = Player(self.generator, chosen[1], **how)
            self.generator_optimizer = self.generator_player.optimizer
        # The encoder's optimizer is `model.optimizer`: left out, Keras would put a dummy there.
        super().compile(optimizer=self.encoder_optimizer, auto_scale_loss=False, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Tensors:
        """Return the streams for pixels, 0..255 (or a batch of `triplets`): as deployed, or as trained."""
        images = inputs["image"] if isinstance(inputs, dict) else inputs
        return (self.encoder if training else self.average_encoder)(images, training=training)

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
        batches = as_batches(x, y, batch_size, self)
        check_batches(batches, kwargs, self)
        tell_labels(batches, self)
        cardinality = int(batches.cardinality())
        if steps_per_epoch is None:
            if cardinality < 1:
                raise InputError(f"the dataset's length is unknown or infinite ({cardinality}); give steps_per_epoch")
            steps_per_epoch = cardinality
        if total_steps is None:
            total_steps = max(0, self.steps_done - initial_epoch * steps_per_epoch) + epochs * steps_per_epoch
        self._stretch_schedules(total_steps)
        kwargs.setdefault("shuffle", False)  # Keras warns that it cannot shuffle a dataset
        # One iterator over the whole training: each of the dataset's iterations is its next epoch.
        stream = batches.repeat() if cardinality > 0 else batches
        span = {"epochs": epochs, "initial_epoch": initial_epoch, "steps_per_epoch": steps_per_epoch}
        history = super().fit(stream, **span, **kwargs)
        if self.encoder.instance_bits:
            self.average_encoder.learn_instance_bits(some_images(batches))
        return history

    def _stretch_schedules(self, total_steps: int) -> None:
        self.total_steps.assign(total_steps)
        self.encoder_player.stretch(total_steps * self.objective.encoder_steps)
        if self.generator_player is not None:
            self.generator_player.stretch(total_steps)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Do nothing: everything is built by the constructor and `compile`.

        Keras' own, which `fit` calls under a strategy, fails between processes (Keras 3.15), and has no public switch.
        """

    @property
    def trains_on_features(self) -> bool:
        """Whether the trunk is frozen and nothing in a training step needs pixels."""
        return self.encoder.network.frozen and (self.generator is None or self.generator.makes_features)

    @property
    def steps_done(self) -> int:
        """Training steps that the model has behind it."""
        return int(ops.convert_to_numpy(self.steps))

    def predict_streams(self, images: Any, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Run the averaged encoder; see `HashEncoder.predict_streams`."""
        return self.average_encoder.predict_streams(images, batch_size)

    def encode(self, images: Any, batch_size: int | None = None) -> np.ndarray:
        """Hash images with the averaged encoder; see `HashEncoder.encode`."""
        return self.average_encoder.encode(images, batch_size)

    def export(self, filepath: str | os.PathLike[str], format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Write the averaged encoder as a SavedModel; see `HashEncoder.export`."""
        self.average_encoder.export(filepath, format, **kwargs)

    def generate(self, labels: Any, seed: int = 0, batch_size: int = 256) -> np.ndarray:
        """Make one synthetic image for each label; see `Generator.generate`.

        Raises:
            ValueError: the model has no generator, or labels that do not fit.
        """
        if self.generator is None:
            raise InputError(f"a model with method={self.method!r} has no generator; method='dsh-gan' trains one")
        return self.generator.generate(labels, seed, batch_size)

    def standardise(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Tell the head how the features of the frozen trunk are distributed, (F,) each."""
        for encoder in (self.encoder, self.average_encoder):
            encoder.head.get_layer("standardise").set_weights([mean, variance])
        if self.trains_on_features and self.generator is not None:
            self.generator.standardise(mean, variance)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; pretrained weights are in the saved file, not downloaded again."""
        own = {"method": self.method, "precision": self.precision, "seed": self.seed}
        return self.encoder.get_config() | {"name": self.name} | own

    def save_own_variables(self, store: Any) -> None:
        """Save what Keras leaves out, so that a resumed training goes on as the other would."""
        super().save_own_variables(store)
        saved_state.save(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` saved.

        Raises:
            ValueError: the file is of a version with another encoder; Keras would load those weights that fit.
        """
        saved_state.load(self, store)
        super().load_own_variables({name: store[name] for name in store.keys() if name.isdecimal()})

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile` was given, or chose."""
        return saved_state.compile_config(self, self._compile_arguments)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` says; the optimizers' state follows from the file."""
        self.compile(**saved_state.compile_arguments(config))
