"""A generator that collapses and an adversary that saturates, seen while they do."""

from __future__ import annotations

from typing import Any

import keras

LEAST_DIVERSITY = 0.1  # of the difference between real images
SATURATED = 0.995  # share of images that the adversary tells rightly


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
