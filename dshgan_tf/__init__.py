"""Deep semantic hashing with generative adversarial networks on Keras 3 and TensorFlow.

Names are imported when they are first used: Keras itself loads matplotlib and scikit-learn where they are installed,
which a program that only searches codes need not wait for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dshgan_tf import (
        batch_losses,
        callbacks,
        code_statistics,
        codes,
        data,
        losses,
        metrics,
        preprocessing,
        retrieval,
        watchdogs,
    )
    from dshgan_tf.config import Objective, RunConfig
    from dshgan_tf.index import HammingIndex
    from dshgan_tf.model import DSHGAN, load_model

__version__ = "0.1.0"

__all__ = [
    "DSHGAN",
    "HammingIndex",
    "Objective",
    "RunConfig",
    "batch_losses",
    "callbacks",
    "code_statistics",
    "codes",
    "data",
    "load_model",
    "losses",
    "metrics",
    "preprocessing",
    "retrieval",
    "watchdogs",
]

_HOMES = {
    "DSHGAN": "dshgan_tf.model",
    "HammingIndex": "dshgan_tf.index",
    "Objective": "dshgan_tf.config",
    "RunConfig": "dshgan_tf.config",
    "load_model": "dshgan_tf.model",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"dshgan_tf.{name}")
    raise AttributeError(f"module 'dshgan_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
