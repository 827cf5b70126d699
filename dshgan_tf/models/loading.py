"""From a `.keras` file to a model."""

from __future__ import annotations

import os

import keras

from dshgan_tf.errors import InputError
from dshgan_tf.models.dshgan import DSHGAN


def load_model(path: str | os.PathLike[str]) -> DSHGAN:
    """Load a model saved as `.keras`, in safe mode, ready to encode or to go on training.

    `keras.saving.load_model` does the same.

    Args:
        path: the file.

    Returns:
        The model.

    Raises:
        ValueError: no such file, a damaged one, or not a DSHGAN.
    """
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged file makes it stumble over
        raise InputError(f"cannot load {path} ({error}); give a model.keras of this project") from error
    if not isinstance(model, DSHGAN):
        raise InputError(f"{path} holds a {type(model).__name__}, not a DSHGAN; give a model.keras of this project")
    return model
