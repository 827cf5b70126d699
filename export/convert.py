"""`python convert.py JOBS.json`: LiteRT conversions in a process of their own, since the converter leaks memory.

A job has the arguments of `convert`. All jobs share one start of TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dshgan_tf.errors import InputError


def convert(saved_model: str, target: str, variant: str, representative: str | None = None) -> None:
    """Convert a SavedModel's `serving_default` to a LiteRT file of builtin operations.

    Args:
        saved_model: folder.
        target: file to write.
        variant: "float32", "float16" (weights), "dynamic" (int8 weights) or "int8" (weights and activations,
            channels scaled apart).
        representative: NumPy file of images (N, H, W, C) uint8 that set int8's ranges.
    """
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        images = np.load(representative)
        converter.representative_dataset = lambda: ({"images": image[None]} for image in images)
        # Packing is int32 arithmetic, which TFLITE_BUILTINS holds; all else must be int8.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(target).write_bytes(converter.convert())


def convert_elsewhere(jobs: list[dict[str, Any]]) -> None:
    """Run conversions in another process, one after the other.

    Args:
        jobs: the arguments of `convert`, by name.

    Raises:
        InputError: the converter refuses one; the message names it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.json")
        path.write_text(json.dumps(jobs))
        done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        missing = next((job for job in jobs if not Path(job["target"]).exists()), jobs[-1])
        raise InputError(
            f"the converter refused {Path(missing['target']).name} ({missing['variant']}): "
            f"{done.stderr.strip()[-500:] or done.returncode}"
        )


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        convert(**job)
