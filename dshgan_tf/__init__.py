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
    from dshgan_tf import callbacks, codes, data, errors, losses, metrics, retrieval
    from dshgan_tf.config import Network, Objective, Optimization, RunConfig
    from dshgan_tf.errors import InputError
    from dshgan_tf.images import preprocessing
    from dshgan_tf.models.dshgan import DSHGAN
    from dshgan_tf.models.generator import Generator
    from dshgan_tf.models.hash_encoder import HashEncoder
    from dshgan_tf.models.loading import load_model
    from dshgan_tf.search.hamming_index import HammingIndex

__version__ = "0.1.0"

# Public name -> the module that defines it; for a module, the module itself.
_HOMES = {
    "DSHGAN": "dshgan_tf.models.dshgan",
    "Generator": "dshgan_tf.models.generator",
    "HammingIndex": "dshgan_tf.search.hamming_index",
    "HashEncoder": "dshgan_tf.models.hash_encoder",
    "InputError": "dshgan_tf.errors",
    "Network": "dshgan_tf.config",
    "Objective": "dshgan_tf.config",
    "Optimization": "dshgan_tf.config",
    "RunConfig": "dshgan_tf.config",
    "callbacks": "dshgan_tf.callbacks",
    "codes": "dshgan_tf.codes",
    "data": "dshgan_tf.data",
    "errors": "dshgan_tf.errors",
    "load_model": "dshgan_tf.models.loading",
    "losses": "dshgan_tf.losses",
    "metrics": "dshgan_tf.metrics",
    "preprocessing": "dshgan_tf.images.preprocessing",
    "retrieval": "dshgan_tf.retrieval",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dshgan_tf' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    _register_classes()
    return getattr(home, name, home)  # a module stands for itself


def __dir__() -> list[str]:
    return sorted(__all__)


def _register_classes(*_: Any) -> None:
    """Import the classes that Keras finds by their registered names, once Keras itself is there."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("dshgan_tf.")]
    half_imported = any(getattr(module.__spec__, "_initializing", False) for module in ours)
    if "keras" in sys.modules and not half_imported:
        importlib.import_module("dshgan_tf.models.dshgan")


wrapt.register_post_import_hook(_register_classes, "keras")
