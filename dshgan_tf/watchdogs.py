"""What goes wrong in adversarial training, seen while it goes on: numbers that are not finite, collapse, saturation."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from dshgan_tf.data.splits import Splits
from dshgan_tf.data.triplets import TripletOrder
from dshgan_tf.errors import NotFinite

LEAST_DIVERSITY = 0.1  # of the difference between real images
SATURATED = 0.995  # share of images that the adversary tells rightly


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
        if not float(logs["non_finite_updates"]):
            return
        step = self.model.steps_done
        broken = [name for name, value in logs.items() if not math.isfinite(float(value))]
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


class WatchTheGan(keras.callbacks.Callback):
    """Say it when the generator collapses or the adversary saturates, once each."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the epoch's means."""
        for name, text in diagnose(logs or {}).items():
            if name not in self._said:
                self._said.add(name)
                print(f"epoch {epoch + 1}: {text}")


def diagnose(logs: dict[str, Any]) -> dict[str, str]:
    """Name what is wrong with an epoch.

    Args:
        logs: the epoch's metrics.

    Returns:
        Short name -> sentence.
    """
    found = {}
    if "synthetic_diversity" not in logs:
        return found
    diversity = float(logs["synthetic_diversity"])
    if diversity < LEAST_DIVERSITY:
        found["mode collapse"] = (
            f"mode collapse: synthetic images of one label set differ by {diversity:.3f} of what real images differ; "
            "a higher diversity_weight works against it"
        )
    real, synthetic = float(logs["real_accuracy"]), float(logs["synthetic_accuracy"])
    if min(real, synthetic) > SATURATED:
        found["saturated adversary"] = (
            f"saturated adversary: it tells {real:.2%} of the real and {synthetic:.2%} of the synthetic images "
            "rightly, so the generator learns little from it; a lower adversary_weight or encoder_learning_rate helps"
        )
    return found


def health(metrics_file: Path) -> dict[str, Any]:
    """Sum a run up for `results.json`.

    Args:
        metrics_file: `metrics.csv`.

    Returns:
        `non_finite_updates`, a count, and for each finding the epochs in which it was seen.
    """
    with metrics_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen: dict[str, list[int]] = {}
    for row in rows:
        for name in diagnose(row):
            seen.setdefault(name, []).append(int(row["epoch"]))
    return {"non_finite_updates": int(sum(float(row["non_finite_updates"]) for row in rows)), "epochs_with": seen}
