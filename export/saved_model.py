"""Write the encoder as a SavedModel in a version folder, as TensorFlow Serving wants it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.files import write_json
from export.parity import Parity, compare
from export.signatures import image_signature, serving_default


def export_saved_model(
    model: dsh.DSHGAN, output: Path, images: np.ndarray, about: dict[str, Any]
) -> tuple[Path, Parity]:
    """Export to `output/<next version>/`, checked against Keras before it becomes visible.

    Args:
        model: the trained model.
        output: folder of the versions; made where it is missing.
        images: (N, H, W, C) uint8, to compare codes on.
        about: what the manifest says beside the facts of the model: classes, source run.

    Returns:
        The version's folder and its parity with Keras.

    Raises:
        ValueError: a bit differs from Keras' that was decided.
    """
    output.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in output.iterdir() if path.name.isdigit()]
    version = max(versions, default=0) + 1
    # Hidden and not a number: a server that watches the folder does not see it.
    temporary = output / f".{version}.{os.getpid()}.part"
    try:
        archive = keras.export.ExportArchive()
        archive.track(model.average_encoder)
        archive.add_endpoint("serving_default", serving_default(model), [image_signature(model, tf.float32)])
        archive.write_out(str(temporary), verbose=False)
        loaded = tf.saved_model.load(str(temporary)).signatures["serving_default"]
        codes = loaded(images=tf.constant(images, tf.float32))["codes"].numpy()
        parity = compare(codes, model.predict_streams(images)["relaxed_codes"])
        parity.check("SavedModel")
        write_json(temporary / "manifest.json", manifest(model, temporary, about))
        os.replace(temporary, output / str(version))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output / str(version), parity


def manifest(model: dsh.DSHGAN, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Describe an exported encoder: what goes in, what comes out, and the checksums of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "num_bits": model.num_bits,
        "bitorder": "big",
        "image_shape": list(model.image_shape),
        "num_classes": model.num_classes,
        "preprocessing": "float32 0..255; resize bilinear, half-pixel centres, antialiased; the graph scales to -1..1",
        "versions": {"dshgan_tf": dsh.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
        **about,
        "sha256": {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
