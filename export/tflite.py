"""Write the encoder as a LiteRT file: uint8 images in, packed codes out, builtin operations only."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.files import atomic_path, write_json
from export.parity import Parity, compare
from export.signatures import device_default, image_signature


def export_tflite(model: dsh.DSHGAN, output: Path, images: np.ndarray, about: dict[str, Any]) -> tuple[Path, Parity]:
    """Export to `output/encoder_float32.tflite` with a JSON sidecar, checked against Keras before it becomes visible.

    Args:
        model: the trained model.
        output: folder; made where it is missing.
        images: (N, H, W, C) uint8, to compare codes on.
        about: what the sidecar says beside the facts of the model.

    Returns:
        The file and its parity with Keras.

    Raises:
        ValueError: a bit differs from Keras' that was decided, or the file needs more than builtin operations.
    """
    target = output / "encoder_float32.tflite"
    with tempfile.TemporaryDirectory() as folder, atomic_path(target) as path:
        archive = keras.export.ExportArchive()
        archive.track(model.average_encoder)
        archive.add_endpoint("serving_default", device_default(model), [image_signature(model, tf.uint8)])
        archive.write_out(folder, verbose=False)
        command = [sys.executable, str(Path(__file__).with_name("convert.py")), folder, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"the converter refused the encoder: {done.stderr.strip()[-500:] or done.returncode}")
        parity = compare(run_tflite(path, images), model.predict_streams(images)["relaxed_codes"])
        parity.check(target.name)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar = {
        "num_bits": model.num_bits,
        "bitorder": "big",
        "image_shape": list(model.image_shape),
        "input": "uint8 0..255",
        "sha256": checksum,
        **about,
    }
    write_json(target.with_suffix(".json"), sidecar)
    return target, parity


def run_tflite(path: Path, images: np.ndarray) -> np.ndarray:
    """Run a LiteRT file without TensorFlow.

    Args:
        path: the file.
        images: (N, H, W, C) uint8.

    Returns:
        (N, ceil(K/8)) uint8 codes.

    Raises:
        ValueError: the file holds resource variables, or operations that are not builtin.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    foreign = sorted(name for name in names if name.startswith("Flex") or name in ("VAR_HANDLE", "READ_VARIABLE"))
    if foreign:
        raise ValueError(f"{path.name} holds {', '.join(foreign)}, which a device does not run")
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    (codes,) = [out for out in interpreter.get_output_details() if out["dtype"] == np.uint8]
    return interpreter.get_tensor(codes["index"])
