"""From the folder of a finished run to its exports."""

from __future__ import annotations

from pathlib import Path

from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.micro import export_micro
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.saved_model import export_saved_model
from dshgan_tf.export.tflite import VARIANTS, export_tflite
from dshgan_tf.export.web_kit import export_web

from dshgan_tf.run import Run


def export_run(
    run: Run, form: str, quantize: str, output: Path, litert_js: Path | None = None
) -> tuple[Path, list[Check], float]:
    """Export the encoder of a finished run, checked on its query images.

    Args:
        run: finished.
        form: "saved_model", "tflite" or "web".
        quantize: of the LiteRT files, one of `tflite.VARIANTS`, "all" of these, or "micro".
        output: folder of the exports; made where it is missing.
        litert_js: for "web", as in `export_web`.

    Returns:
        What was written, its comparison with Keras, and Keras' own milliseconds for one image.

    Raises:
        InputError: no finished run, or its data changed.
        ExportError: an export that is not what Keras computes.
    """
    model, splits = run.load_model(), run.splits()
    about = {"class_names": list(splits.class_names), "dataset": splits.name, "run": run.name}
    card = ModelCard(run.name, run.read("results"), splits, micro=quantize == "micro")
    held_out = HeldOut.from_splits(model, splits)
    if form == "saved_model":
        target, checks = export_saved_model(model, output, held_out, about, card)
    elif form == "web":
        target, checks = output, export_web(model, output, held_out, about, card, litert_js)
    elif quantize == "micro":
        target, checks = output, export_micro(model, output, held_out, about, card)
    else:
        target = output
        variants = VARIANTS if quantize == "all" else (quantize,)
        checks = export_tflite(model, output, held_out, about, variants, card)
    return target, checks, held_out.keras_milliseconds
