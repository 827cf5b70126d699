"""One of the two players: a network, its optimizer, and what an update of it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from dshgan_tf.models.non_finite import is_broken, remember, undo
from dshgan_tf.models.normalization import recorded_together
from dshgan_tf.models.optimizers import WarmedUp
from dshgan_tf.models.training_metrics import TrainingMetrics
from dshgan_tf.replicas import replicas_here

NEVER = 2**31 - 1  # steps


class Player:
    """A network that learns by an optimizer of its own.

    Args:
        network: what learns.
        chosen: its optimizer, and the schedule that spans the training where it has ours.
        metrics: of the model, which count the updates that are not finite.
        loss_scale: whether losses are scaled, for 16 bit floating point.
        skip_non_finite: leave an update out whose loss or gradient is not finite, and what it recorded.
    """

    def __init__(
        self,
        network: keras.Model,
        chosen: WarmedUp,
        metrics: TrainingMetrics,
        loss_scale: bool = False,
        skip_non_finite: bool = False,
    ) -> None:
        optimizer, self.schedule = chosen
        if (loss_scale or skip_non_finite) and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            scale = {} if loss_scale else {"initial_scale": 1.0, "dynamic_growth_steps": NEVER}
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, **scale)
        optimizer.build(network.trainable_variables)
        self.network, self.optimizer, self.metrics = network, optimizer, metrics
        self.skip_non_finite = skip_non_finite

    def update(self, compute: Callable[[], tuple[Any, Any]], done: Any = None) -> Any:
        """Take one step down a loss.

        Args:
            compute: returns this replica's share of the loss, a scalar, and anything besides.
            done: scalar, 1 where the network has learnt all that it is to learn; None where it never has.

        Returns:
            What `compute` returned besides.
        """
        before = self._before() if self.skip_non_finite else []
        learnt = [] if done is None else remember([*self.network.variables, *self.optimizer.variables])
        with recorded_together(), tf.GradientTape() as tape:
            loss, besides = compute()
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        # A loss scale is found by gradients that overflow, so they are no fault; what is to be skipped is looked for.
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer) and not self.skip_non_finite
        broken = is_broken([loss] if scaled else [loss, *gradients])
        self.optimizer.apply(gradients, self.network.trainable_variables)
        undo(before, broken)
        if done is not None:
            undo(learnt, done)
        self.metrics.non_finite_updates.update_state(broken / replicas_here())
        return besides

    def _before(self) -> list[Any]:
        """Return what an update records beside the weights: statistics of batches, and metrics."""
        metrics = [variable for metric in self.metrics.undoable for variable in metric.variables]
        return remember([*self.network.non_trainable_variables, *metrics])

    def stretch(self, updates: int) -> None:
        """Let the learning rate's schedule span so many updates."""
        if self.schedule is not None:
            self.schedule.set_total_steps(updates)
