"""Write the encoder as LiteRT files: uint8 images in, packed codes out, builtin operations only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dshgan_tf.export.convert import CONVERTER
from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.parity import Floor
from dshgan_tf.export.quantize import first, layers, quantize

import dshgan_tf as dsh
from dshgan_tf.errors import ExportError, InputError
from dshgan_tf.files import remove_leftovers, write_json
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
EDGE_KIT = ("hash_images.py", "latency.py", "requirements.txt", "README.md")


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
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output.parent, f".{output.name}.*.part")
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", suffix=".part", dir=output.parent) as scratch:
        saved_model, made = Path(scratch, "saved_model"), Path(scratch, "made")
        made.mkdir()
        archive = keras.export.ExportArchive()
        encoder = model.average_encoder
        archive.track(encoder)
        archive.add_endpoint("serving_default", device_default(encoder), [image_signature(encoder, tf.uint8)])
        archive.write_out(str(saved_model), verbose=False)
        targets = {variant: made / f"encoder_{variant}.tflite" for variant in variants}
        float_file, representative = Path(scratch, "float32.tflite"), Path(scratch, "representative.npy")
        np.save(representative, held_out.representative)
        if variants != ("float16",):
            CONVERTER.run({"saved_model": str(saved_model), "target": str(float_file), "variant": "float32"})
        for variant, target in targets.items():
            if variant == "float32":
                shutil.copy(float_file, target)
            elif variant in QUANTISED and first(layers(float_file)):
                quantize(float_file, target, variant, held_out.representative)
            else:
                job = {"saved_model": str(saved_model), "target": str(target), "variant": variant}
                CONVERTER.run(job | {"representative": str(representative)})
        checks = [_check_variant(target, variant, model, held_out, about) for variant, target in targets.items()]
        for name in EDGE_KIT:
            shutil.copy(Path(__file__).parent / "edge" / name, made)
        for module in (preprocessing, picture_files, dsh.errors, litert_encoder):
            shutil.copy(module.__file__, made)
        output.mkdir(exist_ok=True)
        # A model before its sidecar, whose checksum then fits or tells; the report last.
        for path in sorted(made.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
            os.replace(path, output / path.name)
        report = _merged(output, checks)
        write_json(output / "export_report.json", report)
        if card is not None:
            card.write(output, report)
    return checks


def _merged(output: Path, checks: list[Check]) -> list[dict[str, Any]]:
    """The report's rows: those of this export, and those of earlier ones whose files are still there."""
    rows = {check.name: check.as_dict() for check in checks}
    report = output / "export_report.json"
    for row in json.loads(report.read_text()) if report.exists() else []:
        if (output / row["name"]).exists():
            rows.setdefault(row["name"], row)
    return [rows[name] for name in (f"encoder_{variant}.tflite" for variant in VARIANTS) if name in rows]


def _check_variant(target: Path, variant: str, model: dsh.DSHGAN, held_out: HeldOut, about: dict[str, Any]) -> Check:
    """Compare a converted file with Keras, and write its sidecar."""
    try:
        encoder, single = LiteRTEncoder(target, batch_size=32), LiteRTEncoder(target, batch_size=1, threads=1)
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


def sidecar_of(target: Path, model: dsh.DSHGAN, about: dict[str, Any]) -> dict[str, Any]:
    """Describe a LiteRT encoder, as `LiteRTEncoder.sidecar` checks it."""
    return {
        "num_bits": model.num_bits,
        "bitorder": "big",
        "image_shape": list(model.image_shape),
        "input": "uint8 0..255",
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        **about,
    }
