"""SIGTERM and Ctrl-C: save at the next step, and end with 128 + the signal's number, so that machines may be taken."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import keras
from dshgan_tf.training.checkpoints import Checkpoint

from dshgan_tf.replicas import between_processes

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """A run that was asked to end and saved what it had; its code is the shell's, 143 for SIGTERM."""


class StopOnSignal(keras.callbacks.Callback):
    """Save and raise `Interrupted` after the step in which a signal came; between processes, only raise.

    It goes after all other callbacks: where the step is an epoch's last, they write down the epoch first.

    Args:
        checkpoint: what saves.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self._caught: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals within this context; a second one ends the process at once."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread may
            yield
            return

        def catch(number: int, frame: Any) -> None:
            self._caught = number
            signal.signal(number, signal.SIG_DFL)

        before = {number: signal.signal(number, catch) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save and stop where a signal came, but at the epoch's last step."""
        if self._caught is not None and batch + 1 < self.params["steps"]:
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save and stop where a signal came."""
        if self._caught is not None:
            self._stop()

    def _stop(self) -> None:
        name = signal.Signals(self._caught).name
        if between_processes(self.model.distribute_strategy):
            # Saving sums metrics over all workers, and the others know nothing of this signal: they would wait.
            print(f"\n{name}: the same command again, on every worker, goes on from the last checkpoint", flush=True)
        else:
            self.checkpoint.save()
            steps = self.model.steps_done
            print(f"\n{name}: saved at step {steps}; the same command again goes on from there", flush=True)
        raise Interrupted(128 + self._caught)
