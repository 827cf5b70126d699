"""`python convert.py SAVED_MODEL TFLITE`: the converter in a process of its own, since it leaks memory."""

from __future__ import annotations

import sys
from pathlib import Path


def convert(saved_model: str, target: str) -> None:
    """Convert a SavedModel's `serving_default` to a float32 LiteRT file of builtin operations."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(target).write_bytes(converter.convert())


if __name__ == "__main__":
    convert(*sys.argv[1:])
