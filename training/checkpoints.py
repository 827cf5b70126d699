"""Checkpoints of a run: whole `.keras` files, the last two kept, the newest whole one resumed."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from dshgan_tf.files import atomic_path
from dshgan_tf.model import DSHGAN, load_model

KEPT = 2


class Checkpoint(keras.callbacks.Callback):
    """Save the model with both optimizers, the averages and the random state at the end of every epoch.

    Args:
        directory: folder of the checkpoints; made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, then drop all but the last ones."""
        with atomic_path(self.directory / f"epoch-{epoch + 1:05d}.keras") as path:
            self.model.save(path)
        for old in find_checkpoints(self.directory)[:-KEPT]:
            old.unlink()


def find_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first."""
    return sorted(path for path in directory.glob("epoch-*.keras") if re.fullmatch(r"epoch-\d{5}\.keras", path.name))


def load_newest(directory: Path) -> tuple[DSHGAN, int] | None:
    """Load the newest checkpoint that is whole.

    Args:
        directory: folder of the checkpoints.

    Returns:
        The model and the epochs it has done, or None where there is no checkpoint.

    Raises:
        ValueError: there are checkpoints and none of them is whole.
    """
    found = find_checkpoints(directory)
    for path in reversed(found):
        if _is_whole(path):
            return load_model(path), int(path.stem.split("-")[1])
        warnings.warn(f"checkpoint {path} is damaged; falling back to the one before", stacklevel=2)
    if found:
        raise ValueError(f"every checkpoint in {directory} is damaged; delete the run's folder and start again")
    return None


def _is_whole(path: Path) -> bool:
    """Whether every member of the archive has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
