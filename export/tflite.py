"""Write the encoder as LiteRT files: uint8 images in, packed codes out, builtin operations only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dshgan_tf.export.convert import CONVERTER
from dshgan_tf.export.edge_folder import EdgeFolder, edge_folder, file_name, sidecar_of
from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.parity import Floor
from dshgan_tf.export.quantize import first, layers, quantize

import dshgan_tf as dsh
from dshgan_tf.errors import ExportError, InputError
from dshgan_tf.files import write_json
from dshgan_tf.images import picture_files, preprocessing
from dshgan_tf.models.signatures import device_default, image_signature
from dshgan_tf.search import litert_encoder
from dshgan_tf.search.litert_encoder import LiteRTEncoder

FLOORS = {
    "float32": Floor(agreement=0.9999, map_loss=0.001),
    "float16": Floor(agreement=0.999, map_loss=0.01),
    "dynamic": Floor(agreement=0.995, map_loss=0.01),
    "int8": Floor(agreement=0.985, map_loss=0.01),
}
VARIANTS = tuple(FLOORS)
QUANTISED = ("dynamic", "int8")
CHECKED = 32  # images at a time where a file takes any number
EDGE_KIT = ("hash_images.py", "latency.py", "requirements.txt", "README.md", "HashImage.kt", "HashImage.swift")


def export_tflite(
    model: dsh.DSHGAN,
    output: Path,
    held_out: HeldOut,
    about: dict[str, Any],
    variants: tuple[str, ...] = VARIANTS,
    card: ModelCard | None = None,
) -> list[Check]:
    """Export to `output/encoder_<variant>.tflite` with JSON sidecars, a report, and the kit that runs them.

    All is made and checked under a temporary name: a variant below its floor leaves nothing behind.

    Args:
        model: the trained model.
        output: folder; made where it is missing.
        held_out: images to compare codes on, and those that set int8's ranges.
        about: what the sidecars say beside the facts of the model.
        variants: of "float32", "float16", "dynamic", "int8".
        card: of the run; None writes no model card.

    Returns:
        The comparison of each variant with Keras.

    Raises:
        ExportError: the converter refuses a variant, or it stays below its floor, or is not of builtin operations.
    """
    with edge_folder(output, "phones") as folder:
        checks = write_encoders(model, folder, held_out, about, variants)
        for name in EDGE_KIT:
            shutil.copy(Path(__file__).parent / "edge" / name, folder.made)
        for module in (preprocessing, picture_files, dsh.errors, litert_encoder):
            shutil.copy(module.__file__, folder.made)
        folder.publish(checks, card)
    return checks


def write_encoders(
    model: dsh.DSHGAN,
    folder: EdgeFolder,
    held_out: HeldOut,
    about: dict[str, Any],
    variants: tuple[str, ...],
    batch_size: int | None = None,
) -> list[Check]:
    """Write LiteRT files with their sidecars to a folder that is not published yet.

    Args:
        model: the trained model.
        folder: of the export.
        held_out: as in `export_tflite`.
        about: as in `export_tflite`.
        variants: as in `export_tflite`.
        batch_size: images that a file takes at a time; None for any number.

    Returns:
        The comparison of each variant with Keras.

    Raises:
        ExportError: as in `export_tflite`.
    """
    saved_model, representative = folder.scratch / "saved_model", folder.scratch / "representative.npy"
    float_file = folder.scratch / "float32.tflite"
    archive = keras.export.ExportArchive()
    encoder = model.average_encoder
    archive.track(encoder)
    signature = image_signature(encoder, tf.uint8, batch_size)
    archive.add_endpoint("serving_default", device_default(encoder), [signature])
    archive.write_out(str(saved_model), verbose=False)
    np.save(representative, held_out.representative)
    if variants != ("float16",):
        CONVERTER.run({"saved_model": str(saved_model), "target": str(float_file), "variant": "float32"})
    checks = []
    for variant in variants:
        target = folder.made / file_name(variant)
        if variant == "float32":
            shutil.copy(float_file, target)
        elif variant in QUANTISED and first(layers(float_file)):
            quantize(float_file, target, variant, held_out.representative)
        else:
            job = {"saved_model": str(saved_model), "target": str(target), "variant": variant}
            CONVERTER.run(job | {"representative": str(representative)})
        checks.append(_check_variant(target, variant, model, held_out, about, batch_size or CHECKED))
    return checks


def _check_variant(
    target: Path, variant: str, model: dsh.DSHGAN, held_out: HeldOut, about: dict[str, Any], batch_size: int
) -> Check:
    """Compare a converted file with Keras, and write its sidecar."""
    try:
        encoder, single = LiteRTEncoder(target, batch_size), LiteRTEncoder(target, batch_size=1, threads=1)
    except (RuntimeError, InputError) as error:
        raise ExportError(f"{target.name} holds what LiteRT alone does not run: {error}") from error
    foreign = sorted(set(encoder.operations()) & {"VAR_HANDLE", "READ_VARIABLE"})
    foreign += [name for name in encoder.operations() if name.startswith("Flex")]
    if foreign:
        raise ExportError(f"{target.name} holds {', '.join(foreign)}, which a device does not run")
    check = held_out.check(target.name, encoder.encode, target.stat().st_size / 1024, single.encode)
    FLOORS[variant].check(check.name, check.parity, check.map, check.keras_map)
    about = about | {"variant": variant}
    if variant in QUANTISED:
        about["float32_layers"] = [layer.name for layer in layers(target) if layer.dtype == np.float32]
    write_json(target.with_suffix(".json"), sidecar_of(target, model, about))
    return check
