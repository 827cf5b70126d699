"""DSH-GANs as a Keras model: `train_step` alternates an encoder and a generator update."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dshgan_tf.augmentation import NUM_DRAWS, augment, cut, recolour
from dshgan_tf.averaging import follow
from dshgan_tf.backbones import describe_file
from dshgan_tf.config import Objective
from dshgan_tf.deployed import Deployed
from dshgan_tf.errors import InputError
from dshgan_tf.fitting import Fitted
from dshgan_tf.metrics import sample_diversity
from dshgan_tf.networks import build_encoder, build_generator
from dshgan_tf.non_finite import is_broken, undo
from dshgan_tf.normalization import frozen_statistics, recorded_together
from dshgan_tf.optimizers import choose_optimizers
from dshgan_tf.pseudo_labels import pseudo_labels
from dshgan_tf.replicas import global_size, own_rows, replicas_here
from dshgan_tf.saving import Saved
from dshgan_tf.terms import Term, encoder_terms, generator_terms
from dshgan_tf.tracking import Tracked

Tensors = dict[str, Any]
NEVER = 2**31 - 1  # steps
# Least and most: what a damaged file asks for is refused before memory is given to it.
BOUNDS = {"num_bits": (1, 4096), "num_classes": (2, 100_000), "noise_dim": (1, 4096), "width": (1, 512)}


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="dshgan_tf")
class DSHGAN(Fitted, Deployed, Saved, Tracked, keras.Model):
    """Learn binary codes from few labelled and many unlabelled images with a conditional GAN.

    The encoder is a shared CNN with a hash, an adversary and a classification stream. A training example is a triplet
    (x, x+, x-): x real and labelled, x+ synthetic with the same labels, x- synthetic with other labels. A moving
    average of the encoder's weights is what encodes, saves and exports.

    Args:
        num_bits: K, length of a code.
        num_classes: L.
        image_shape: (H, W, C), C 1 or 3.
        gan: False trains the same encoder on the labelled images only: the baseline.
        synthetic: False leaves the generator and the adversary out and keeps every other use of unlabelled images.
        multi_label: whether an image may have several labels (sigmoid instead of softmax).
        backbone: "small", the name of a `keras.applications` model, or a `.keras` file (see `backbones.describe_file`).
        weights: of the application: None, "imagenet" or a file.
        trained_layers: how many of the backbone's last layers with weights train; None for all, 0 to freeze it.
        width: channels of trunk and generator at full resolution; None for 32 up to 16 pixels a side, 16 above.
        noise_dim: size of the generator's noise.
        norm: "sync_batch" (by the statistics of all replicas, so that their number changes nothing), "batch" (each
            by its own, with fewer exchanges) or "none".
        adversary: "classes" judges real or synthetic by the evidence for any class; "own" by a stream of its own, which
            is the paper's (see `networks.build_encoder`).
        precision: Keras dtype policy of what trains, kept in the saved file; None for the one now set. The averaged
            encoder, which encodes and is exported, computes in float32 under any mixed policy.
        seed: of noise and augmentation; weights follow `keras.utils.set_random_seed`.
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
        gan: bool = True,
        synthetic: bool = True,
        multi_label: bool = False,
        backbone: str | dict[str, Any] = "small",
        weights: str | None = None,
        trained_layers: int | None = None,
        width: int | None = None,
        noise_dim: int = 64,
        norm: str = "sync_batch",
        adversary: str = "classes",
        precision: str | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        image_shape = tuple(int(side) for side in image_shape)
        if width is None:
            width = 32 if min(image_shape[:2]) <= 16 else 16
        sizes = {"num_bits": num_bits, "num_classes": num_classes, "noise_dim": noise_dim, "width": width}
        for name, value in sizes.items():
            least, most = BOUNDS[name]
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
                raise InputError(f"{name} must be a whole number in {least}..{most}, got {value!r}")
        if backbone == "small" and (weights is not None or trained_layers is not None):
            raise InputError("weights and trained_layers need a pretrained backbone; give its name or file as backbone")
        if isinstance(backbone, str) and backbone.endswith(".keras"):
            if weights is not None:
                raise InputError(f"backbone {backbone} has its own weights; leave weights={weights!r} out")
            backbone, weights = describe_file(backbone), backbone
        if norm not in ("batch", "sync_batch", "none"):
            raise InputError(f"norm must be 'batch', 'sync_batch' or 'none', got {norm!r}")
        if adversary not in ("classes", "own"):
            raise InputError(f"adversary must be 'classes' or 'own', got {adversary!r}")
        self.num_bits, self.num_classes, self.image_shape = int(num_bits), int(num_classes), image_shape
        self.gan, self.multi_label, self.noise_dim = gan, multi_label, noise_dim
        self._arguments = {
            "num_bits": self.num_bits,
            "num_classes": self.num_classes,
            "image_shape": image_shape,
            "gan": gan,
            "synthetic": synthetic,
            "multi_label": multi_label,
            "backbone": backbone,
            "trained_layers": trained_layers,
            "width": width,
            "noise_dim": noise_dim,
            "norm": norm,
            "adversary": adversary,
            "precision": precision or keras.config.dtype_policy().name,
            "seed": seed,
        }
        with _dtype_policy(self._arguments["precision"]):
            self._build_networks(weights)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.test_seed_generator = keras.random.SeedGenerator(seed + 1)  # testing must not move the training's noise
        self.total_steps = self.add_weight(
            shape=(), initializer="ones", dtype="float32", trainable=False, name="total_steps"
        )
        self.steps = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            name="steps",
            aggregation="only_first_replica",
        )
        self.objective, self.skip_non_finite = Objective(), False
        self._create_trackers()
        self._deployed = None
        self.built = True

    def _build_networks(self, weights: str | None) -> None:
        a = self._arguments
        names = ("image_shape", "num_bits", "num_classes", "backbone", "trained_layers", "width", "norm", "adversary")
        shared = {name: a[name] for name in names}
        self.encoder = build_encoder(**shared, weights=weights)
        with _dtype_policy(keras.config.floatx()):  # what encodes is never rounded to 16 bits, and exports as it is
            self.average_encoder = build_encoder(**shared, weights=None)
        self.average_encoder.trainable = False
        self.average_encoder.set_weights(self.encoder.get_weights())
        self.generator = None
        if a["gan"] and a["synthetic"]:
            self.generator = build_generator(self.image_shape, self.num_classes, self.noise_dim, a["width"], a["norm"])
        elif a["adversary"] == "own":
            self.encoder.get_layer("adversary").trainable = False  # nothing teaches it

    # Keras' surface ---------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer | None = None,
        *,
        encoder_optimizer: str | keras.optimizers.Optimizer | None = None,
        generator_optimizer: str | keras.optimizers.Optimizer | None = None,
        objective: Objective | None = None,
        skip_non_finite: bool = False,
        **kwargs: Any,
    ) -> None:
        """Set what is minimised and how; the defaults are the default recipe.

        Args:
            optimizer: of both networks, a name such as "adam" or an optimizer, of which the generator gets a copy; None
                for the recipe's two.
            encoder_optimizer: of the CNN and its streams, instead of `optimizer`.
            generator_optimizer: of the generator, instead of `optimizer`.
            objective: weights, margin and ramps; None for the recipe's.
            skip_non_finite: leave an update out whose loss or gradient is not finite, and what it recorded; counted in
                `non_finite_updates` like those that are not left out. `watchdogs.StopOnNonFinite` stops instead.
            **kwargs: `run_eagerly`, `jit_compile`, `steps_per_execution` as in `keras.Model.compile`.

        Raises:
            ValueError: an unknown optimizer, one optimizer for both networks, or a loss or metric, which are the
                method's own.
        """
        optimizers = choose_optimizers(optimizer, encoder_optimizer, generator_optimizer)
        if foreign := sorted(set(kwargs) - {"run_eagerly", "jit_compile", "steps_per_execution", "auto_scale_loss"}):
            raise InputError(
                f"compile got {', '.join(foreign)}: losses and metrics are the method's own; "
                "set weights and margin by objective=dsh.Objective(...)"
            )
        kwargs.pop("auto_scale_loss", None)  # Keras passes it when it loads a model
        kwargs.setdefault("jit_compile", False)  # graph mode with oneDNN beats XLA on a CPU
        self.objective, self.skip_non_finite = objective or Objective(), skip_non_finite
        self._create_trackers()
        self._compile_arguments = {"skip_non_finite": skip_non_finite, **kwargs}
        mixed = self._arguments["precision"] == "mixed_float16"

        def prepare(optimizer: keras.optimizers.Optimizer, network: keras.Model) -> keras.optimizers.Optimizer:
            if (mixed or skip_non_finite) and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                scale = {} if mixed else {"initial_scale": 1.0, "dynamic_growth_steps": NEVER}
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, **scale)
            optimizer.build(network.trainable_variables)
            return optimizer

        self.encoder_optimizer = prepare(optimizers[0], self.encoder)
        if self.generator is not None:
            self.generator_optimizer = prepare(optimizers[1], self.generator)
        # The encoder's optimizer is `model.optimizer`: left out, Keras would put a dummy there.
        super().compile(optimizer=self.encoder_optimizer, auto_scale_loss=False, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Tensors:
        """Return the streams for pixels, 0..255 (or a batch of `triplets`): as deployed, or as trained."""
        images = inputs["image"] if isinstance(inputs, dict) else inputs
        return (self.encoder if training else self.average_encoder)(images, training=training)

    # The algorithm ----------------------------------------------------------------------------------------------

    def train_step(self, data: Tensors) -> dict[str, Any]:
        """One step: `encoder_steps` updates of the CNN and its streams, then one of the generator."""
        for _ in range(self.objective.encoder_steps):
            anchor_codes = self._update_encoder(data)
        if self.generator is not None:
            self._update_generator(data, anchor_codes)
        self.steps.assign_add(1)
        return self._step_logs()

    def test_step(self, data: Tensors) -> dict[str, Any]:
        """Compute the encoder's terms as deployed: averaged weights, no augmentation, no update."""
        streams, labels = self._streams_and_labels(data, self.average_encoder, training=False)
        self._weigh("encoder_loss", self._encoder_terms(streams, labels))
        return self._step_logs()

    def _update_encoder(self, data: Tensors) -> Any:
        """Update the CNN and its streams; return the relaxed codes (A, K) of the anchors."""
        before = self._remember_records(self.encoder)
        with recorded_together(), tf.GradientTape() as tape:
            streams, labels = self._streams_and_labels(data, self.encoder, training=True)
            loss = self._weigh("encoder_loss", self._encoder_terms(streams, labels))
            loss = self.encoder_optimizer.scale_loss(loss)
        self._descend(self.encoder_optimizer, self.encoder, tape, loss, before)
        follow(self.average_encoder, self.encoder, self.encoder_optimizer.iterations, self.objective.ema_decay)
        return ops.stop_gradient(self._anchors(streams["real"]["relaxed_codes"]))

    def _update_generator(self, data: Tensors, anchor_codes: Any) -> None:
        """Update the generator, so that its images are hashed, judged and classified like real ones."""
        before = self._remember_records(self.generator)
        with recorded_together(), tf.GradientTape() as tape:
            images, noise, labels = self.synthesise(data, training=True)
            with frozen_statistics(self.encoder):
                synthetic = self.encoder(self._augment(images, members=2), training=True)
            terms = generator_terms(
                anchor_codes, synthetic, images, noise, labels, self.objective, self._margin, self.multi_label
            )
            loss = self.generator_optimizer.scale_loss(self._weigh("generator_loss", terms))
        self._descend(self.generator_optimizer, self.generator, tape, loss, before)

    def _descend(self, optimizer: Any, network: keras.Model, tape: Any, loss: Any, before: list[Any]) -> None:
        """Apply the gradients; count the update where it is not finite, and undo its records where that is wanted."""
        gradients = tape.gradient(loss, network.trainable_variables)
        # A loss scale is found by gradients that overflow, so they are no fault; what is to be skipped is looked for.
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and not self.skip_non_finite
        broken = is_broken([loss] if scaled else [loss, *gradients])
        optimizer.apply(gradients, network.trainable_variables)
        undo(before, broken)
        self.non_finite_updates.update_state(broken / replicas_here())

    def synthesise(self, data: Tensors, training: bool) -> tuple[Any, Any, Any]:
        """Make the synthetic members of a batch's triplets, x+ = G(z, labels) and x- = G(z', other labels).

        Args:
            data: batch of `triplets`.
            training: whether the generator normalises by the batch.

        Returns:
            Images (2 A, H, W, C), pixels 0..255, for A anchors, all x+ and then all x-, their noise (2 A, Z) and their
            labels (2 A, L).
        """
        labels = ops.concatenate([self._anchors(data["label"]), self._anchors(data["negative_label"])])
        source = self.seed_generator if training else self.test_seed_generator
        noise = self._draw(keras.random.normal, labels, self.noise_dim, source, members=2)
        return self.generator([noise, labels], training=training), noise, labels

    def _streams_and_labels(self, data: Tensors, encoder: keras.Model, training: bool) -> tuple[Tensors, Tensors]:
        """Run the encoder on the real, unlabelled and synthetic images of a batch, with the labels of each.

        Three passes: each kind is normalised by its own batch statistics, and only those of real images are recorded,
        since only real images are encoded later.
        """
        look = self._augment if training else (lambda images, **_: images)
        streams = {
            "real": encoder(look(data["image"], colour=False, hole=self.objective.cut_labeled), training=training)
        }
        labels = {"real": data["label"], "frequency": data["label_frequency"]}
        if self.gan:
            streams["unlabeled"] = encoder(look(data["unlabeled_image"]), training=training)
            if self.objective.pseudo_label_weight:
                labels["unlabeled"], labels["unlabeled_known"] = self._pseudo_labels(data["unlabeled_image"])
        if self.generator is not None:
            with frozen_statistics(self.generator), frozen_statistics(encoder):
                images, _, labels["synthetic"] = self.synthesise(data, training=training)
                diversity, pairs = sample_diversity(images, labels["synthetic"], data["unlabeled_image"])
                self.trackers["synthetic_diversity"].update_state(diversity, sample_weight=pairs)
                streams["synthetic"] = encoder(look(ops.stop_gradient(images), members=2), training=training)
        self._track(streams, labels)
        return streams, labels

    def _pseudo_labels(self, images: Any) -> tuple[Any, Any]:
        """Ask the averaged encoder, which sees the plain images, for labels (B, L) and where it is confident."""
        logits = ops.stop_gradient(self._teach(images)["class_logits"])
        return pseudo_labels(logits, self.objective.pseudo_label_threshold, self.multi_label)

    def _teach(self, images: Any) -> Tensors:
        """The averaged encoder's streams; it computes in float32 where it encodes, and here as fast as what trains."""
        if not self._arguments["precision"].startswith("mixed"):
            return self.average_encoder(images, training=False)
        pairs = zip(self.encoder.variables, self.average_encoder.variables, strict=True)
        averages = {id(weight): ops.convert_to_tensor(average) for weight, average in pairs}
        parts = (self.encoder.trainable_variables, self.encoder.non_trainable_variables)
        values = [[averages[id(variable)] for variable in part] for part in parts]
        return self.encoder.stateless_call(*values, images, training=False)[0]

    def _anchors(self, rows: Any) -> Any:
        """The rows of a batch that have synthetic partners."""
        return rows[:: self.objective.anchor_stride]

    def _encoder_terms(self, streams: dict[str, Tensors], labels: Tensors) -> dict[str, Term]:
        return encoder_terms(streams, labels, self.objective, self._ramp(), self._margin, self.multi_label)

    @property
    def _margin(self) -> float:
        return self.objective.margin_for(self.num_bits)

    def _ramp(self) -> Any:
        """Factor in [0, 1] that grows over the first share `ramp` of the training."""
        if not self.objective.ramp:
            return 1.0
        return ops.minimum(
            ops.cast(self.steps, "float32") / ops.maximum(self.objective.ramp * self.total_steps, 1.0), 1.0
        )

    def _draw(self, distribution: Any, like: Any, size: int, source: Any, members: int = 1) -> Any:
        """Draw a random row of `size` for each row of `like`, which stacks the `members` of every triplet.

        Every replica draws for the global batch and keeps its triplets, so that noise differs between replicas and
        does not depend on their number.
        """
        shape = (global_size(ops.shape(like)[0] // members), members * size)
        rows = own_rows(ops.cast(distribution(shape, seed=source), keras.config.floatx()))
        return ops.concatenate(ops.split(rows, members, axis=-1)) if members > 1 else rows

    def _augment(self, images: Any, colour: bool = True, hole: bool = True, members: int = 1) -> Any:
        """Augment images that stack the `members` of every triplet, each in its own way."""
        if not self.objective.augment:
            return images
        draws = self._draw(keras.random.uniform, images, NUM_DRAWS, self.seed_generator, members)
        images = augment(images, draws)
        if colour:
            images = recolour(images, draws)
        return cut(images, draws) if hole and not self.multi_label else images


def load_model(path: str | os.PathLike[str]) -> DSHGAN:
    """Load a model saved as `.keras`, in safe mode, ready to encode or to go on training.

    `keras.saving.load_model` does the same.

    Args:
        path: the file.

    Returns:
        The model.

    Raises:
        ValueError: no such file, a damaged one, or not a DSHGAN.
    """
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged file makes it stumble over
        raise InputError(f"cannot load {path} ({error}); give a model.keras of this project") from error
    if not isinstance(model, DSHGAN):
        raise InputError(f"{path} holds a {type(model).__name__}, not a DSHGAN; give a model.keras of this project")
    return model
