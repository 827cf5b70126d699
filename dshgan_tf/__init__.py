"""Deep semantic hashing with generative adversarial networks on Keras 3 and TensorFlow."""

from dshgan_tf import callbacks, codes, data, losses, metrics, preprocessing, retrieval
from dshgan_tf.config import Objective
from dshgan_tf.index import HammingIndex
from dshgan_tf.model import DSHGAN

__version__ = "0.1.0"

__all__ = [
    "DSHGAN",
    "HammingIndex",
    "Objective",
    "callbacks",
    "codes",
    "data",
    "losses",
    "metrics",
    "preprocessing",
    "retrieval",
]
