"""The algorithm: encoder and generator learn in turn, from triplets of a real and two synthetic images."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from dshgan_tf.config import Objective
from dshgan_tf.losses.players import Task, encoder_terms, generator_terms
from dshgan_tf.losses.pseudo_labels import pseudo_labels, taught_labels
from dshgan_tf.losses.terms import Batch, Images
from dshgan_tf.models.augmenter import Augmenter, draw
from dshgan_tf.models.averaging import update_average
from dshgan_tf.models.generator import Generator
from dshgan_tf.models.hash_encoder import HashEncoder
from dshgan_tf.models.normalization import frozen_statistics
from dshgan_tf.models.player import Player
from dshgan_tf.models.training_metrics import TrainingMetrics
from dshgan_tf.replicas import between_processes

Tensors = dict[str, Any]


class AlternatingTraining(keras.Model):
    """Train an encoder and a generator in turn.

    A training example is a triplet (x, x+, x-): x real and labelled, x+ = G(z, labels of x), x- = G(z', other labels).
    A batch is what `data.triplets` yields.

    Attributes:
        encoder: CNN with its streams, which trains.
        average_encoder: moving average of its weights, which gives pseudo-labels and encodes.
        generator: G, or None.
        uses_unlabeled: whether unlabelled images train.
        objective: weights, margin and ramps, resolved for the data.
        threshold: confidence from which a prediction counts as a label; `fit` sets it by the labels that there are.
        training_metrics: what is logged.
        encoder_player: the encoder with its optimizer.
        generator_player: the generator with its optimizer, or None.
        augmenter: of the images of a batch.
    """

    encoder: HashEncoder
    average_encoder: HashEncoder
    generator: Generator | None
    uses_unlabeled: bool
    objective: Objective
    training_metrics: TrainingMetrics
    encoder_player: Player
    generator_player: Player | None
    augmenter: Augmenter

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.test_seed_generator = keras.random.SeedGenerator(seed + 1)  # testing must not move the training's noise
        fixed = {"shape": (), "trainable": False}
        self.threshold = self.add_weight(initializer="ones", name="pseudo_label_threshold", **fixed)
        self.total_steps = self.add_weight(initializer="ones", dtype="float32", name="total_steps", **fixed)
        self.steps = self.add_weight(
            initializer="zeros", dtype="int32", name="steps", aggregation="only_first_replica", **fixed
        )

    def train_step(self, data: Tensors) -> dict[str, Any]:
        """One step: `encoder_steps` updates of the CNN and its streams, then one of the generator."""
        for _ in range(self.objective.encoder_steps):
            anchor_codes = self.update_encoder(data)
        if self.generator is not None:
            self.update_generator(data, anchor_codes)
        self.steps.assign_add(1)
        return self.step_logs()

    def update_encoder(self, data: Tensors) -> Any:
        """Minimise l_triplet + l_adv + l_cls over the CNN and its streams; return the codes (A, K) of the anchors."""

        def loss() -> tuple[Any, Any]:
            batch = self.hash_batch(data, self.encoder, training=True)
            terms = encoder_terms(batch, self.task())
            return self.training_metrics.weighted_sum("encoder_loss", terms), batch.real.relaxed_codes

        codes = self.encoder_player.update(loss)
        updates = self.encoder_player.optimizer.iterations
        update_average(self.average_encoder, self.encoder, updates, self.objective.ema_decay)
        return ops.stop_gradient(self.anchors(codes))

    def update_generator(self, data: Tensors, anchor_codes: Any) -> None:
        """Minimise l_triplet - l_adv + l_cls over the generator; the encoder judges its images and does not change."""

        def loss() -> tuple[Any, None]:
            images, noise, labels = self.synthesise(data, training=True)
            with frozen_statistics(self.encoder):
                streams = self.encoder.streams(self.augmenter.strong(images, members=2), training=True)
            made = self.generator.scaled(images), noise, labels
            terms = generator_terms(anchor_codes, Images(**streams, labels=labels), made, self.task())
            return self.training_metrics.weighted_sum("generator_loss", terms), None

        done = None if self.objective.generator_learns_on else self.triplets()
        self.generator_player.update(loss, done)

    def synthesise(self, data: Tensors, training: bool) -> tuple[Any, Any, Any]:
        """Make the synthetic members of a batch's triplets, x+ = G(z, labels) and x- = G(z', other labels).

        Args:
            data: batch of `triplets`.
            training: whether the generator normalises by the batch.

        Returns:
            Images (2 A, H, W, C), pixels 0..255, or features (2 A, F), for A anchors, all x+ and then all x-; their
            noise (2 A, Z) and their labels (2 A, L).
        """
        labels = ops.concatenate([self.anchors(data["label"]), self.anchors(data["negative_label"])])
        source = self.seed_generator if training else self.test_seed_generator
        noise = draw(keras.random.normal, labels, self.generator.noise_dim, source, members=2)
        return self.generator([noise, labels], training=training), noise, labels

    def hash_batch(self, data: Tensors, encoder: HashEncoder, training: bool) -> Batch:
        """Run the encoder on the real, unlabelled and synthetic images of a batch.

        Three passes: each kind is normalised by its own batch statistics, and only those of real images are recorded,
        since only real images are encoded later.

        Args:
            data: batch of `triplets`.
            encoder: that trains, or the averaged one.
            training: whether images are augmented, and normalised by the batch.
        """
        augmenter = self.augmenter if training else Augmenter(self.seed_generator, enabled=False, holes=False)
        real = encoder.streams(augmenter.weak(data["image"], hole=self.objective.cut_labeled), training=training)
        batch = Batch(Images(**real, labels=data["label"]))
        if self.uses_unlabeled:
            streams = encoder.streams(augmenter.strong(data["unlabeled_image"]), training=training)
            batch = batch._replace(unlabeled=Images(**streams, **self.pseudo_labels(data)))
        if self.generator is not None:
            with frozen_statistics(self.generator), frozen_statistics(encoder):
                images, _, labels = self.synthesise(data, training=training)
                self.training_metrics.log_diversity(images, labels, data["unlabeled_image"])
                images = augmenter.strong(ops.stop_gradient(images), members=2)
                batch = batch._replace(synthetic=Images(**encoder.streams(images, training=training), labels=labels))
        self.training_metrics.log_batch(batch)
        return batch

    def pseudo_labels(self, data: Tensors) -> Tensors:
        """Return `labels` (B, L) of the unlabelled images, where they are `known`, and how `likely` each label is.

        The averaged encoder gives them; it sees the plain images. Where a teacher gave probabilities before the
        training, these count alone in its first half, and as much as the encoder's in the second.
        """
        if not self.objective.pseudo_label_weight:
            return {}
        logits = ops.stop_gradient(self.teach(data["unlabeled_image"])["class_logits"])
        if "taught_label" in data:
            own_share = ops.where(2 * ops.cast(self.steps, "float32") < self.total_steps, 0.0, 0.5)
            labels = taught_labels(data["taught_label"], logits, own_share, self.encoder.multi_label)
            return {"labels": labels, "known": ops.ones_like(labels), "likely": labels}
        labels, known = pseudo_labels(logits, self.threshold, self.encoder.multi_label)
        likely = ops.sigmoid(logits) if self.encoder.multi_label else ops.softmax(logits, axis=-1)
        return {"labels": labels, "known": known, "likely": likely}

    def teach(self, images: Any) -> Tensors:
        """Return the averaged encoder's streams, computed in the precision of the one that trains.

        Where it encodes, the averaged encoder computes in float32; as a teacher it may be as fast as what trains.
        """
        if self.encoder.compute_dtype == self.average_encoder.compute_dtype:
            return self.average_encoder.streams(images, training=False)
        pairs = zip(self.encoder.variables, self.average_encoder.variables, strict=True)
        averages = {id(weight): ops.convert_to_tensor(average) for weight, average in pairs}
        network = self.encoder.network_for(images)
        parts = (network.trainable_variables, network.non_trainable_variables)
        values = [[averages[id(variable)] for variable in part] for part in parts]
        return network.stateless_call(*values, images, training=False)[0]

    def anchors(self, rows: Any) -> Any:
        """Return the rows of a batch that have synthetic partners."""
        return rows[:: self.objective.anchor_stride]

    def task(self) -> Task:
        """Return what the losses must know beside the images."""
        return Task(self.objective, self.encoder.multi_label, self.label_frequency, self.ramp(), self.triplets())

    def ramp(self) -> Any:
        """Return a factor in [0, 1] that grows over the first share `ramp` of the training."""
        if not self.objective.ramp:
            return 1.0
        length = ops.maximum(self.objective.ramp * self.total_steps, 1.0)
        return ops.cast(ops.minimum(ops.cast(self.steps, "float32") / length, 1.0), keras.config.floatx())

    def triplets(self) -> Any:
        """Return 0 in the first stage of a training with a generator, which has no triplets, and 1 after it."""
        if self.generator is None or not self.objective.gan_share:
            return 1.0
        first_stage = self.objective.gan_share * self.total_steps
        return ops.cast(ops.cast(self.steps, "float32") >= first_stage, keras.config.floatx())

    def test_step(self, data: Tensors) -> dict[str, Any]:
        """Compute the encoder's terms as deployed: averaged weights, no augmentation, no update."""
        batch = self.hash_batch(data, self.average_encoder, training=False)
        self.training_metrics.weighted_sum("encoder_loss", encoder_terms(batch, self.task()))
        return self.step_logs()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Every metric that `fit` resets at an epoch's start and logs."""
        return self.training_metrics.all

    def step_logs(self) -> dict[str, Any]:
        """Return the metrics of a step; between processes as rows, of which Keras takes the mean over replicas."""
        logs = self.get_metrics_result()
        rows = between_processes(tf.distribute.get_strategy())
        return {name: value[None] for name, value in logs.items()} if rows else logs
