"""What a training step writes down: every term under its own name, and what is no term of a loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.metrics import BitImbalance, QuantizationError, TripletAccuracy
from dshgan_tf.non_finite import remember
from dshgan_tf.replicas import global_mean, replicas_here
from dshgan_tf.terms import Term

Tensors = dict[str, Any]


class Tracked:
    """Methods of `DSHGAN` that keep its metrics."""

    def _create_trackers(self) -> None:
        """Make a tracker for every term that the objective has, so that what is off logs nothing."""
        objective = self.objective
        names = ["encoder_loss", "classification_loss", "accuracy"]
        self.code_metrics = {"quantization_error": QuantizationError(), "bit_imbalance": BitImbalance()}
        if objective.real_triplet_weight:
            names += ["real_triplet_loss"]
        names += ["bit_balance_loss"] if objective.bit_balance_for(self.multi_label) else []
        if self.gan and objective.pseudo_label_weight:
            names += ["pseudo_label_loss", "pseudo_label_rate"]
            names += ["pseudo_triplet_loss"] if objective.real_triplet_weight else []
            names += ["balance_loss"] if objective.balance_weight else []
        if self.generator is not None:
            names += ["triplet_loss", "adversary_loss", "synthetic_classification_loss"]
            names += ["generator_loss", "generator_triplet_loss", "generator_adversary_loss"]
            names += ["generator_classification_loss", "real_score", "synthetic_score"]
            names += ["generator_diversity_loss"] if objective.diversity_weight else []
            names += ["real_accuracy", "synthetic_accuracy", "synthetic_diversity"]
            self.code_metrics["triplet_accuracy"] = TripletAccuracy()
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.non_finite_updates = keras.metrics.Sum(name="non_finite_updates")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Every metric that `fit` resets at an epoch's start and logs."""
        return [*self.trackers.values(), *self.code_metrics.values(), self.non_finite_updates]

    def _weigh(self, total: str, terms: dict[str, Term]) -> Any:
        """Track every term under its own name; return this replica's share of their weighted sum."""
        loss = 0.0
        for name, term in terms.items():
            self.trackers[name].update_state(term.values)
            loss = loss + ops.cast(term.weight, term.values.dtype) * global_mean(term.values)
        self.trackers[total].update_state(loss * replicas_here())
        return loss

    def _track(self, streams: dict[str, Tensors], labels: Tensors) -> None:
        """Update the metrics that are no loss terms."""
        codes = streams["real"]["relaxed_codes"]
        self.code_metrics["quantization_error"].update_state(codes)
        self.code_metrics["bit_imbalance"].update_state(codes)
        best = ops.one_hot(ops.argmax(streams["real"]["class_logits"], axis=-1), self.num_classes)
        self.trackers["accuracy"].update_state(ops.sum(best * ops.cast(labels["real"], best.dtype), axis=-1))
        if "unlabeled" in labels:
            self.trackers["pseudo_label_rate"].update_state(labels["unlabeled_known"])
        if self.generator is not None:
            positive, negative = ops.split(streams["synthetic"]["relaxed_codes"], 2)
            self.code_metrics["triplet_accuracy"].update_state(self._anchors(codes), positive, negative)
            real = streams["unlabeled"]["adversary_logits"]
            synthetic = streams["synthetic"]["adversary_logits"]
            self.trackers["real_score"].update_state(ops.sigmoid(real))
            self.trackers["synthetic_score"].update_state(ops.sigmoid(synthetic))
            self.trackers["real_accuracy"].update_state(ops.cast(real > 0, "float32"))
            self.trackers["synthetic_accuracy"].update_state(ops.cast(synthetic < 0, "float32"))

    def _remember_records(self, network: keras.Model) -> list[Any]:
        """What an update records beside the weights, to be undone: statistics of batches, and metrics."""
        if not self.skip_non_finite:
            return []
        metrics = [*self.trackers.values(), *self.code_metrics.values()]
        return remember([*network.non_trainable_variables, *(v for metric in metrics for v in metric.variables)])
