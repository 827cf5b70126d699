"""A loss or gradient that is not finite ends the training, and is explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from dshgan_tf.data.splits import Splits
from dshgan_tf.data.triplets import TripletOrder
from dshgan_tf.errors import NotFinite


class StopOnNonFinite(keras.callbacks.Callback):
    """Stop at the step whose loss or gradient is not finite, and say what it was trained on.

    Args:
        splits: the data.
        batch_size: of the batches that the model trains on.
        seed: of their order.
        sampling: as in `data.triplets`.
        checkpoints: returns the checkpoints there are, oldest first.

    Raises:
        NotFinite: in `fit`; the message names the step, the terms, the images and the last checkpoint.
    """

    def __init__(
        self,
        splits: Splits,
        batch_size: int = 64,
        seed: int = 0,
        sampling: str = "uniform",
        checkpoints: Callable[[], Sequence[Path]] = list,
    ) -> None:
        super().__init__()
        self.splits, self.checkpoints = splits, checkpoints
        rows = splits.multi_hot(splits.labeled.labels)
        self._order = TripletOrder(rows, len(splits.unlabeled), batch_size, seed, sampling)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raise where the step's updates were counted as not finite."""
        # Keras made numbers of all logs before it calls any callback, so nothing waits for the device here.
        if not logs["non_finite_updates"]:
            return
        step = self.model.steps_done
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        good = self.checkpoints()
        raise NotFinite(
            f"step {step}: the loss or a gradient is not finite "
            f"({', '.join(broken) if broken else 'the losses are, a gradient is not'}); "
            f"the last good checkpoint is {good[-1] if good else 'none yet'}; {self._images(step)}. "
            "Take a lower learning rate, or skip such updates (--non-finite skip)"
        )

    def _images(self, step: int) -> str:
        labeled, unlabeled, _ = self._order.batch(step - 1)
        text = f"the batch had labelled images {', '.join(map(str, self.splits.labeled.ids[labeled]))}"
        if self._order.num_unlabeled:
            text += f", unlabelled images {', '.join(map(str, self.splits.unlabeled.ids[unlabeled]))}"
        return text
