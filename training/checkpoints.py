"""Checkpoints of a run: whole `.keras` files, the last few kept, the newest whole one resumed."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path
from dshgan_tf.models.dshgan import DSHGAN
from dshgan_tf.models.loading import load_model


class Checkpoint(keras.callbacks.Callback):
    """Save the model with both optimizers, the averages and the random state at the end of every epoch.

    Args:
        directory: folder of the checkpoints; made where it is missing.
        kept: how many stay.
    """

    def __init__(self, directory: Path, kept: int = 2) -> None:
        super().__init__()
        self.directory, self.kept = directory, kept

    def find(self) -> list[Path]:
        """Return the checkpoints there are, oldest first."""
        return find_checkpoints(self.directory)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save."""
        self.save()

    def save(self) -> None:
        """Save under the number of steps done, then drop all but the last ones.

        Raises:
            OSError: the file cannot be written; the message names the last good one.
        """
        try:
            with atomic_path(self.directory / f"step-{self.model.steps_done:08d}.keras") as path:
                self.model.save(path)
        except (OSError, zipfile.BadZipFile, ValueError) as error:  # the last when a full disk breaks the archive
            good = find_checkpoints(self.directory)
            raise OSError(
                f"cannot write a checkpoint to {self.directory}: {error}; "
                f"{f'{good[-1].name} is whole' if good else 'there is none yet'}; "
                "make room there and run the same command again"
            ) from error
        for old in find_checkpoints(self.directory)[: -self.kept]:
            old.unlink()


def find_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first."""
    return sorted(path for path in directory.glob("step-*.keras") if re.fullmatch(r"step-\d{8}\.keras", path.name))


def load_newest(directory: Path) -> DSHGAN | None:
    """Load the newest checkpoint that is whole.

    Args:
        directory: folder of the checkpoints.

    Returns:
        The model, which knows its `steps_done`, or None where there is no checkpoint.

    Raises:
        ValueError: there are checkpoints and none of them is whole.
    """
    found = find_checkpoints(directory)
    for path in reversed(found):
        if _is_whole(path):
            return load_model(path)
        warnings.warn(f"checkpoint {path} is damaged; falling back to the one before", stacklevel=2)
    if found:
        raise InputError(f"every checkpoint in {directory} is damaged; delete the run's folder and start again")
    return None


def _is_whole(path: Path) -> bool:
    """Whether every member of the archive has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
