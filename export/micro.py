"""Write the encoder for microcontrollers: int8 throughout, one image at a time, and the C++ files that run it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from dshgan_tf.export.convert import CONVERTER
from dshgan_tf.export.edge_folder import edge_folder, file_name, sidecar_of
from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.micro_encoder import PIXEL_OFFSET, MicroEncoder
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.parity import Floor

import dshgan_tf as dsh
from dshgan_tf.files import write_json
from dshgan_tf.models.signatures import image_signature

# TensorFlow Lite for Microcontrollers rounds otherwise than LiteRT: some bits of the same file differ.
FLOOR = Floor(agreement=0.98, map_loss=0.01)
KIT = ("hash_image.cc", "README.md")
BYTES_A_LINE = 20


def export_micro(
    model: dsh.DSHGAN, output: Path, held_out: HeldOut, about: dict[str, Any], card: ModelCard | None = None
) -> list[Check]:
    """Export to `output/encoder_micro.tflite`, with the same bytes as a C array, an example in C++, and a report.

    All is made and checked under a temporary name: an encoder below its floor leaves nothing behind.

    Args:
        model: the trained model.
        output: folder; made where it is missing.
        held_out: images to compare codes on, and those that set the ranges of int8.
        about: what the sidecar says beside the facts of the model.
        card: of the run; None writes no model card.

    Returns:
        The comparison of the file, run by TensorFlow Lite for Microcontrollers, with Keras.

    Raises:
        InputError: `tflite-micro` is not installed.
        ExportError: the encoder is refused, or stays below its floor.
    """
    with edge_folder(output, "microcontrollers") as folder:
        target = folder.made / file_name("micro")
        convert_for_micro(model, held_out.representative, target, folder.scratch)
        encoder = MicroEncoder(target)
        check = held_out.check(target.name, encoder.encode, target.stat().st_size / 1024)
        FLOOR.check(check.name, check.parity, check.map, check.keras_map)
        facts = {
            "variant": "micro",
            "input": f"int8, pixel - {PIXEL_OFFSET}",
            "output": "int8 relaxed codes; a bit is 1 above 0",
            "arena_bytes": encoder.arena_bytes(),
            "operations": operations(target),
        }
        about = sidecar_of(target, model, about | facts)
        write_json(target.with_suffix(".json"), about)
        write_sources(target, about)
        for name in KIT:
            shutil.copy(Path(__file__).parent / "microcontroller" / name, folder.made)
        folder.publish([check], card)
    return [check]


def convert_for_micro(model: dsh.DSHGAN, representative: np.ndarray, target: Path, scratch: Path) -> None:
    """Convert, with a batch of one image and without the packing of bits.

    Args:
        model: the trained model.
        representative: (R, H, W, C) uint8, images that set the ranges of int8.
        target: file to write.
        scratch: folder for what is needed on the way.
    """
    encoder = model.average_encoder

    def relaxed_codes(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"relaxed_codes": encoder(images, training=False)["relaxed_codes"]}

    pixels = representative.astype(np.float32)
    # Both ends of the range are seen, so that an int8 pixel is the pixel less 128, whatever the images hold.
    pixels[0].flat[:2] = 0, 255
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.add_endpoint("serving_default", relaxed_codes, [image_signature(encoder, tf.float32, 1)])
    saved_model, images = scratch / "saved_model", scratch / "representative.npy"
    archive.write_out(str(saved_model), verbose=False)
    np.save(images, pixels)
    job = {"saved_model": str(saved_model), "target": str(target), "variant": "micro"}
    CONVERTER.run(job | {"representative": str(images)})


def operations(target: Path) -> list[str]:
    """Return the operations of a LiteRT file, as its C++ resolver names them, each once."""
    found = {operation["op_name"] for operation in Interpreter(str(target))._get_ops_details()} - {"DELEGATE"}
    return sorted("".join(_word(word) for word in name.split("_")) for name in found)


def _word(word: str) -> str:
    return word if word == "2D" else word.capitalize()


def write_sources(target: Path, about: dict[str, Any]) -> None:
    """Write `encoder_micro.h` and `encoder_micro.cc` beside the file: its bytes, its sizes and its operations.

    Args:
        target: the LiteRT file.
        about: its sidecar.
    """
    height, width, channels = about["image_shape"]
    names = about["operations"]
    sizes = {
        "kHeight": height,
        "kWidth": width,
        "kChannels": channels,
        "kNumBits": about["num_bits"],
        "kArenaBytes": about["arena_bytes"],
    }
    header = [
        f"// Made from {target.name}, SHA-256 {about['sha256']}.",
        "#pragma once",
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
        "",
        "extern const unsigned char kEncoder[];",
        *(f"constexpr int {name} = {value};" for name, value in sizes.items()),
        "",
        f"using Operations = tflite::MicroMutableOpResolver<{len(names)}>;",
        "inline TfLiteStatus AddOperations(Operations& operations) {",
        *(f"  if (operations.Add{name}() != kTfLiteOk) return kTfLiteError;" for name in names),
        "  return kTfLiteOk;",
        "}",
    ]
    data = target.read_bytes()
    rows = [data[start : start + BYTES_A_LINE] for start in range(0, len(data), BYTES_A_LINE)]
    source = [
        '#include "encoder_micro.h"',
        "",
        f"alignas(16) extern const unsigned char kEncoder[{len(data)}] = {{",
        *(" ".join(f"{byte}," for byte in row) for row in rows),
        "};",
    ]
    target.with_suffix(".h").write_text("\n".join(header) + "\n")
    target.with_suffix(".cc").write_text("\n".join(source) + "\n")
