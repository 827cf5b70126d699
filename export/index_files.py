"""A new, empty index of a run: its encoder and its generator of pixels, if any, as LiteRT; how its codes calibrate."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dshgan_tf.export.convert import CONVERTER
from dshgan_tf.export.edge_folder import sidecar_of

import dshgan_tf as dsh
from dshgan_tf.data import Splits
from dshgan_tf.files import atomic_folder, checksum, remove_leftovers, write_json
from dshgan_tf.models.signatures import image_signature, index_default
from dshgan_tf.run import Run
from dshgan_tf.search.calibration import Calibration, calibrate
from dshgan_tf.search.image_index import ENCODER, GENERATOR
from dshgan_tf.search.image_manifest import FORMAT, MANIFEST
from dshgan_tf.search.litert_encoder import LiteRTEncoder
from dshgan_tf.search.litert_generator import BATCH


def make_index(run: Run, folder: Path) -> Splits:
    """Make an empty index for the codes of a finished run; `search.index_update` fills it.

    Args:
        run: finished.
        folder: of the index, which does not exist yet.

    Returns:
        The data of the run.

    Raises:
        InputError: no finished run, or its data changed.
    """
    model, splits = run.load_model(), run.splits()
    remove_leftovers(folder.parent, f".{folder.name}.*.part")
    with atomic_folder(folder) as made:
        made.mkdir()
        write_models(model, made)
        write_json(made / "encoder.json", sidecar_of(made / ENCODER, model, {}))
        calibration = _calibration(LiteRTEncoder(made / ENCODER, batch_size=32), splits, model.num_bits)
        write_json(
            made / MANIFEST,
            {
                "format": FORMAT,
                "num_bits": model.num_bits,
                "bitorder": "big",
                "image_shape": list(model.image_shape),
                "ground": model.average_encoder.network.ground,
                "class_names": list(splits.class_names),
                "multi_label": splits.multi_label,
                "dataset": splits.name,
                "run": run.name,
                "model_sha256": checksum(run.path("model")),
                "calibration": calibration and calibration.as_dict(),
            },
        )
    return splits


def write_models(model: dsh.DSHGAN, folder: Path) -> None:
    """Convert the encoder and, where there is one, the generator of pixels to LiteRT in float32."""
    encoder = model.average_encoder
    parts: list[tuple[str, keras.Model, Any, list[Any]]] = [
        (ENCODER, encoder, index_default(encoder), [image_signature(encoder, tf.uint8)])
    ]
    if model.generator is not None and not model.generator.makes_features:
        noise = tf.TensorSpec((BATCH, model.generator.noise_dim), tf.float32, name="noise")
        labels = tf.TensorSpec((BATCH, model.num_classes), tf.float32, name="labels")

        def generate(noise: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"images": model.generator([noise, labels], training=False)}

        parts.append((GENERATOR, model.generator, generate, [noise, labels]))
    with tempfile.TemporaryDirectory() as scratch:
        for name, network, function, inputs in parts:
            saved_model = str(Path(scratch, name))
            archive = keras.export.ExportArchive()
            archive.track(network)
            archive.add_endpoint("serving_default", function, inputs)
            archive.write_out(saved_model, verbose=False)
            CONVERTER.run({"saved_model": saved_model, "target": str(folder / name), "variant": "float32"})


def _calibration(encoder: LiteRTEncoder, splits: Splits, num_bits: int) -> Calibration | None:
    """Calibrate on the validation part. Queries take no part, and a database of other classes has other figures."""
    if not len(splits.validation) or splits.unseen_names:
        return None
    codes = encoder.encode(np.asarray(splits.validation.images[:]))
    rows = splits.multi_hot(splits.validation.labels)
    return calibrate(codes, rows, num_bits, splits.similar_share)


def names_of_database(splits: Splits) -> list[str]:
    """Name the images of a run's database by data set, number and labels: "digits #17 (3)"."""
    names = np.array(splits.searched_names)
    rows = splits.searched_rows(splits.database.labels) > 0
    return [
        f"{splits.name} #{item} ({', '.join(names[row])})" for item, row in zip(splits.database.ids, rows, strict=True)
    ]
