"""Write the encoder as a SavedModel in a version folder, as TensorFlow Serving wants it."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.parity import Floor

import dshgan_tf as dsh
from dshgan_tf.files import remove_leftovers, write_json
from dshgan_tf.models.signatures import write_saved_model

FLOOR = Floor(agreement=1.0, map_loss=0.001)  # undecided bits may move MAP a little
BATCH = 64  # images at a time
WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")


def export_saved_model(
    model: dsh.DSHGAN, output: Path, held_out: HeldOut, about: dict[str, Any], card: ModelCard | None = None
) -> tuple[Path, list[Check]]:
    """Export to `output/<next version>/`, checked against Keras before it becomes visible.

    Args:
        model: the trained model.
        output: folder of the versions; made where it is missing.
        held_out: images to compare codes on.
        about: what the manifest says beside the facts of the model: classes, source run.
        card: of the run; None writes no model card.

    Returns:
        The version's folder and its comparison with Keras, for pixels and for files.

    Raises:
        ExportError: a bit differs from Keras' that was decided.
    """
    output.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output, ".*.part")
    # Hidden and not a number: a server that watches the folder does not see it.
    temporary = output / f".{uuid.uuid4().hex}.part"
    try:
        write_saved_model(model.average_encoder, temporary, about["class_names"])
        write_warm_up(temporary, output.name, held_out.query_images[0])
        checks = _check(temporary, held_out)
        report = [check.as_dict() for check in checks]
        write_json(temporary / "export_report.json", report)
        if card is not None:
            card.write(temporary, report)
        write_json(temporary / "manifest.json", manifest(model, temporary, about))
        return _publish(temporary, output), checks
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, output: Path) -> Path:
    """Rename to the next free version; where another export was faster, to the one after."""
    versions = [int(path.name) for path in output.iterdir() if path.name.isdigit()]
    for version in itertools.count(max(versions, default=0) + 1):
        try:
            os.rename(temporary, output / str(version))
            return output / str(version)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    raise AssertionError("unreachable")


def _check(folder: Path, held_out: HeldOut) -> list[Check]:
    signatures = tf.saved_model.load(str(folder)).signatures
    kib = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1024

    def in_batches(signature: str, argument: str, images: Any, prepared: Callable[[Any], tf.Tensor]) -> np.ndarray:
        run = signatures[signature]
        starts = range(0, len(images), BATCH)
        parts = [run(**{argument: prepared(images[start : start + BATCH])})["codes"] for start in starts]
        return np.concatenate([part.numpy() for part in parts])

    def on_pixels(images: np.ndarray) -> np.ndarray:
        return in_batches("serving_default", "images", images, lambda batch: tf.constant(batch, tf.float32))

    def on_files(images: np.ndarray) -> np.ndarray:
        return in_batches("encode_bytes", "image_bytes", images, lambda batch: tf.constant([*map(as_png, batch)]))

    file = [as_png(held_out.query_images[0])]
    timed = {"encode_bytes": lambda _: in_batches("encode_bytes", "image_bytes", file, tf.constant)}
    checks = []
    for name, encode in (("serving_default", on_pixels), ("encode_bytes", on_files)):
        check = held_out.check(f"SavedModel, {name}", encode, kib, timed.get(name))
        FLOOR.check(check.name, check.parity, check.map, check.keras_map)
        checks.append(check)
    return checks


def as_png(image: np.ndarray) -> bytes:
    """Return an image (H, W, C) uint8 as the bytes of a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


def write_warm_up(folder: Path, name: str, image: np.ndarray) -> None:
    """Write one request for each signature; TensorFlow Serving replays them before it serves the version.

    Args:
        folder: of the SavedModel.
        name: of the served model.
        image: (H, W, C) uint8.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    pixels = tf.make_tensor_proto(image[None].astype(np.float32))
    inputs = {
        "serving_default": ("images", pixels),
        "encode_bytes": ("image_bytes", tf.make_tensor_proto([as_png(image)])),
        "classify": ("images", pixels),
    }
    path = folder / WARM_UP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (argument, tensor) in inputs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[argument].CopyFrom(tensor)
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def manifest(model: dsh.DSHGAN, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Describe an exported encoder: what goes in, what comes out, and the checksums of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "num_bits": model.num_bits,
        "bitorder": "big",
        "image_shape": list(model.image_shape),
        "ground": model.average_encoder.network.ground,
        "num_classes": model.num_classes,
        "preprocessing": "float32 0..255; resize bilinear, half-pixel centres, antialiased, rounded; the graph scales "
        "to -1..1; encode_bytes decodes, turns and resizes in the graph and applies no colour profile",
        "versions": {"dshgan_tf": dsh.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
        **about,
        "sha256": {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
