"""What a run writes down of its epochs, so that a resumed run's record is that of an uninterrupted one."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import keras
from keras import ops

from dshgan_tf.files import atomic_path, write_json


class EpochSeconds(keras.callbacks.Callback):
    """Log the seconds of every epoch; an epoch in several parts is as long as they are together.

    Args:
        path: `interrupted.json`, what an interrupted epoch took.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._start, self._before = time.perf_counter(), 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start, where the epoch stopped if it did."""
        self._start, self._before = time.perf_counter(), 0.0
        if self.path.exists():
            there = json.loads(self.path.read_text())
            self._before = there["seconds"] if there["step"] == self.model.steps_done else 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `seconds` to the logs."""
        logs["seconds"] = self._so_far()

    def interrupted(self) -> None:
        """Write down what the epoch took up to here."""
        write_json(self.path, {"step": self.model.steps_done, "seconds": self._so_far()})

    def _so_far(self) -> float:
        return self._before + time.perf_counter() - self._start


class KeepMeans(keras.callbacks.Callback):
    """Go on with the means of a model that was saved within an epoch, which `fit` resets."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[Any] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take the means that came with the model."""
        self._values = [ops.convert_to_numpy(variable) for variable in self._variables()]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Give them back, in the first epoch only."""
        for variable, value in zip(self._variables(), self._values, strict=False):
            variable.assign(value)
        self._values = []

    def _variables(self) -> list[Any]:
        return [variable for metric in self.model.metrics for variable in metric.variables]


class MetricsFile(keras.callbacks.Callback):
    """Append a line an epoch to `metrics.csv`; epochs without `val_map` leave it empty.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append."""
        values = {key: float(value) for key, value in logs.items()}
        columns = ["epoch", *sorted(metric.name for metric in self.model.metrics), "val_map", "seconds"]
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow({"epoch": epoch + 1, **values})


def truncate_metrics(path: Path, epochs: int) -> None:
    """Drop the lines of epochs that will be run again, half written ones included.

    Args:
        path: `metrics.csv`.
        epochs: how many stay.
    """
    if not epochs:
        path.unlink(missing_ok=True)
    elif path.exists():
        lines = path.read_text().splitlines(keepends=True)
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines[: 1 + epochs]))


def train_seconds(path: Path) -> float:
    """Sum the seconds of all epochs.

    Args:
        path: `metrics.csv`.
    """
    with path.open(newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))
