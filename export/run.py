"""From the folder of a finished run to its exports."""

from __future__ import annotations

from pathlib import Path

import dshgan_tf as dsh
from dshgan_tf.data import splits_of_run
from dshgan_tf.errors import InputError
from export.held_out import Check, HeldOut
from export.saved_model import export_saved_model
from export.tflite import VARIANTS, export_tflite


def load_run(workdir: Path) -> dsh.DSHGAN:
    """Load the model of a finished run.

    Args:
        workdir: its folder.

    Raises:
        InputError: no finished run there.
    """
    path = workdir / "model.keras"
    if not path.exists():
        raise InputError(f"{workdir} holds no finished run (no model.keras); run dshgan train into it first")
    return dsh.load_model(path)


def export_run(workdir: Path, form: str, quantize: str, output: Path) -> tuple[Path, list[Check], float]:
    """Export the encoder of a finished run, checked on its query images.

    Args:
        workdir: folder of the run.
        form: "saved_model" or "tflite".
        quantize: of the LiteRT files, one of `tflite.VARIANTS` or "all".
        output: folder of the exports; made where it is missing.

    Returns:
        What was written, its comparison with Keras, and Keras' own milliseconds for one image.

    Raises:
        InputError: no finished run, its data changed, or an export that is not what Keras computes.
    """
    model = load_run(workdir)
    splits = splits_of_run(workdir)
    about = {"class_names": list(splits.class_names), "dataset": splits.name, "run": workdir.resolve().name}
    held_out = HeldOut.from_splits(model, splits)
    if form == "saved_model":
        target, checks = export_saved_model(model, output, held_out, about)
    else:
        target = output
        checks = export_tflite(model, output, held_out, about, VARIANTS if quantize == "all" else (quantize,))
    return target, checks, held_out.keras_milliseconds
