"""In which precision layers compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


def full_precision() -> str:
    """Return the dtype of what must not be rounded to 16 bits under mixed precision."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
