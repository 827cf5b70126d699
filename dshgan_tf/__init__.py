"""Deep semantic hashing with generative adversarial networks on Keras 3 and TensorFlow.

Names are imported when they are first used, so that a program that only searches codes does not wait for TensorFlow.
The classes that Keras must know are registered as soon as both packages are imported, in either order.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from dshgan_tf import (
        batch_losses,
        callbacks,
        code_statistics,
        codes,
        data,
        errors,
        losses,
        metrics,
        preprocessing,
        retrieval,
        watchdogs,
    )
    from dshgan_tf.config import Objective, RunConfig
    from dshgan_tf.errors import InputError
    from dshgan_tf.model import DSHGAN, load_model
    from dshgan_tf.search.hamming_index import HammingIndex

__version__ = "0.1.0"

__all__ = [
    "DSHGAN",
    "HammingIndex",
    "InputError",
    "Objective",
    "RunConfig",
    "batch_losses",
    "callbacks",
    "code_statistics",
    "codes",
    "data",
    "errors",
    "load_model",
    "losses",
    "metrics",
    "preprocessing",
    "retrieval",
    "watchdogs",
]

_HOMES = {
    "DSHGAN": "dshgan_tf.model",
    "HammingIndex": "dshgan_tf.search.hamming_index",
    "InputError": "dshgan_tf.errors",
    "Objective": "dshgan_tf.config",
    "RunConfig": "dshgan_tf.config",
    "load_model": "dshgan_tf.model",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dshgan_tf' has no attribute {name!r}")
    home = importlib.import_module(_HOMES.get(name, f"dshgan_tf.{name}"))
    _register_classes()
    return getattr(home, name) if name in _HOMES else home


def __dir__() -> list[str]:
    return sorted(__all__)


def _register_classes(*_: Any) -> None:
    """Import the classes that Keras finds by their registered names, once Keras itself is there."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("dshgan_tf.")]
    half_imported = any(getattr(module.__spec__, "_initializing", False) for module in ours)
    if "keras" in sys.modules and not half_imported:
        importlib.import_module("dshgan_tf.model")


wrapt.register_post_import_hook(_register_classes, "keras")
