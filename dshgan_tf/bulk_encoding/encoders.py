"""Exported encoders that hash pixels, each by an engine. None needs the code that trained it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.files import checksum

Engine = Literal["litert", "tensorflow", "openvino"]
AT_A_TIME = 64  # images


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An export, opened.

    Attributes:
        image_shape: (H, W, C).
        num_bits: K.
        ground: grey level that shows where an image file is transparent.
        run: (N, H, W, C) uint8, N at most 64 -> codes (N, ceil(K/8)) uint8 and relaxed codes (N, K) float32.
    """

    image_shape: tuple[int, int, int]
    num_bits: int
    ground: int
    run: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def engine_for(model: Path, wanted: Engine | None) -> Engine:
    """Return the engine that runs an export.

    Args:
        model: an `encoder_*.tflite` file, or the folder of a SavedModel.
        wanted: None for LiteRT or TensorFlow, whichever the export is for.

    Raises:
        InputError: the model is no export, or not for this engine.
    """
    if model.suffix == ".tflite" and model.is_file():
        can: tuple[Engine, ...] = ("litert",)
    elif (model / "saved_model.pb").is_file():
        can = ("tensorflow", "openvino")
    else:
        raise InputError(f"{model} is no export; give the version's folder of a SavedModel, or a .tflite file")
    if wanted is not None and wanted not in can:
        raise InputError(f"{wanted} does not run {model}; {' or '.join(can)} does")
    return wanted or can[0]


def identity(model: Path) -> str:
    """Return a checksum of an export: of its file, or of all that the SavedModel computes with."""
    if model.is_file():
        return checksum(model)
    files = [model / "saved_model.pb", *sorted((model / "variables").iterdir())]
    return hashlib.sha256("".join(map(checksum, files)).encode()).hexdigest()


@functools.lru_cache(maxsize=1)  # a worker hashes many shards with one encoder
def open_encoder(model: Path, engine: Engine, checksum: str, threads: int | None = None) -> Encoder:
    """Open an export.

    Args:
        model: as in `engine_for`.
        engine: what runs it.
        checksum: its `identity`; a worker that lives long opens anew what was exported anew.
        threads: of the processor; None for the engine's own choice.

    Raises:
        InputError: it cannot be opened, or has another checksum.
    """
    if (found := identity(model)) != checksum:
        raise InputError(f"{model} has the checksum {found[:12]} on a worker, not {checksum[:12]}; copy it there again")
    return {"litert": _litert, "tensorflow": _tensorflow, "openvino": _openvino}[engine](model, threads)


def _litert(model: Path, threads: int | None) -> Encoder:
    from dshgan_tf.search.litert_encoder import LiteRTEncoder

    opened = LiteRTEncoder(model, AT_A_TIME, threads)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = opened.predict_streams(images)
        return found["codes"], found["relaxed_codes"]

    return Encoder(opened.image_shape, opened.sidecar()["num_bits"], opened.ground, run)


def _tensorflow(model: Path, threads: int | None) -> Encoder:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(str(model))
    signature = loaded.signatures["serving_default"]
    shape = tuple(int(side) for side in signature.structured_input_signature[1]["images"].shape[1:])

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = signature(images=tf.constant(images, tf.float32))
        return found["codes"].numpy(), found["relaxed_codes"].numpy()

    run.loaded = loaded  # the signature alone does not keep the variables
    return Encoder(shape, int(signature.structured_outputs["relaxed_codes"].shape[-1]), _ground_of(model), run)


def _ground_of(model: Path) -> int:
    """What the manifest of a SavedModel says of transparent pictures."""
    path = model / "manifest.json"
    try:
        return int(json.loads(path.read_text())["ground"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {path} ({error!r}); copy it again from the export") from error


def _openvino(model: Path, threads: int | None) -> Encoder:
    try:
        import openvino
    except ImportError as error:
        raise InputError(f"this engine needs OpenVINO ({error}): pip install openvino") from error
    options = {"INFERENCE_PRECISION_HINT": "f32"}  # else it computes in bfloat16 where the processor can
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = openvino.Core().compile_model(str(model), "CPU", options)
    named = {output.get_any_name(): output for output in compiled.outputs}
    shape = tuple(side.get_length() for side in list(compiled.input(0).partial_shape)[1:])

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(images.astype(np.float32))
        return found[named["codes"]], found[named["relaxed_codes"]]

    return Encoder(shape, named["relaxed_codes"].partial_shape[-1].get_length(), _ground_of(model), run)
