"""What a training step writes down: every term under its own name, and what is no term of a loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.config import Objective
from dshgan_tf.losses.terms import Batch, Term
from dshgan_tf.metrics import BitImbalance, QuantizationError, TripletAccuracy, sample_diversity
from dshgan_tf.replicas import global_mean, replicas_here

WITH_GENERATOR = (
    "triplet_loss",
    "adversary_loss",
    "synthetic_classification_loss",
    "generator_loss",
    "generator_triplet_loss",
    "generator_adversary_loss",
    "generator_classification_loss",
    "real_score",
    "synthetic_score",
    "real_accuracy",
    "synthetic_accuracy",
    "synthetic_diversity",
)


def names_of_means(objective: Objective, unlabeled: bool, generator: bool) -> list[str]:
    """Return what is logged as a mean; what an objective has switched off is not logged.

    Args:
        objective: the weights, resolved.
        unlabeled: whether unlabelled images take part.
        generator: whether there is one.
    """
    pseudo = unlabeled and objective.pseudo_label_weight
    every = {
        "encoder_loss": True,
        "classification_loss": True,
        "accuracy": True,
        "real_triplet_loss": objective.real_triplet_weight,
        "similarity_loss": objective.similarity_weight,
        "bit_balance_loss": objective.bit_balance_weight,
        "pseudo_label_loss": pseudo,
        "pseudo_label_rate": pseudo,
        "pseudo_triplet_loss": pseudo and objective.real_triplet_weight,
        "balance_loss": pseudo and objective.balance_weight,
        "generator_diversity_loss": generator and objective.diversity_weight,
        **dict.fromkeys(WITH_GENERATOR, generator),
    }
    return [name for name, wanted in every.items() if wanted]


class TrainingMetrics:
    """The metrics of one model, made anew by every `compile`.

    Args:
        objective: the weights, resolved.
        unlabeled: whether unlabelled images take part.
        generator: whether there is one.
    """

    def __init__(self, objective: Objective, unlabeled: bool, generator: bool) -> None:
        self.anchor_stride = objective.anchor_stride
        self.means = {name: keras.metrics.Mean(name=name) for name in names_of_means(objective, unlabeled, generator)}
        self.quantization_error, self.bit_imbalance = QuantizationError(), BitImbalance()
        self.triplet_accuracy = TripletAccuracy() if generator else None
        self.non_finite_updates = keras.metrics.Sum(name="non_finite_updates")

    @property
    def undoable(self) -> list[keras.metrics.Metric]:
        """What an update records, and is undone with it."""
        codes = [self.quantization_error, self.bit_imbalance, self.triplet_accuracy]
        return [*self.means.values(), *(metric for metric in codes if metric is not None)]

    @property
    def all(self) -> list[keras.metrics.Metric]:
        """Every metric that `fit` resets at an epoch's start and logs."""
        return [*self.undoable, self.non_finite_updates]

    def weighted_sum(self, name: str, terms: dict[str, Term]) -> Any:
        """Log every term under its own name, and their weighted sum.

        Args:
            name: of the sum.
            terms: name -> term.

        Returns:
            This replica's share of the sum, a scalar.
        """
        loss = 0.0
        for term_name, term in terms.items():
            self.means[term_name].update_state(term.values)
            loss = loss + ops.cast(term.weight, term.values.dtype) * global_mean(term.values)
        self.means[name].update_state(loss * replicas_here())
        return loss

    def log_batch(self, batch: Batch) -> None:
        """Log what is no term of a loss."""
        real, unlabeled, synthetic = batch
        self.quantization_error.update_state(real.relaxed_codes)
        self.bit_imbalance.update_state(real.relaxed_codes)
        best = ops.one_hot(ops.argmax(real.class_logits, axis=-1), real.class_logits.shape[-1])
        self.means["accuracy"].update_state(ops.sum(best * ops.cast(real.labels, best.dtype), axis=-1))
        if unlabeled is not None and unlabeled.labels is not None:
            self.means["pseudo_label_rate"].update_state(unlabeled.known)
        if synthetic is not None:
            positives, negatives = ops.split(synthetic.relaxed_codes, 2)
            self.triplet_accuracy.update_state(real.relaxed_codes[:: self.anchor_stride], positives, negatives)
            self._log_adversary(unlabeled.adversary_logits, synthetic.adversary_logits)

    def _log_adversary(self, real_logits: Any, synthetic_logits: Any) -> None:
        self.means["real_score"].update_state(ops.sigmoid(real_logits))
        self.means["synthetic_score"].update_state(ops.sigmoid(synthetic_logits))
        self.means["real_accuracy"].update_state(ops.cast(real_logits > 0, "float32"))
        self.means["synthetic_accuracy"].update_state(ops.cast(synthetic_logits < 0, "float32"))

    def log_diversity(self, images: Any, labels: Any, real_images: Any) -> None:
        """Log how much synthetic images of one label set differ."""
        diversity, pairs = sample_diversity(images, labels, real_images)
        self.means["synthetic_diversity"].update_state(diversity, sample_weight=pairs)
