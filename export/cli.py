"""`dshgan-export DIR --format saved_model|tflite --output DIR`: export the encoder of a finished run."""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported: off by default on some CPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dshgan_tf.errors import InputError

if TYPE_CHECKING:
    from export.held_out import Check

QUANTIZATIONS = ("float32", "float16", "dynamic", "int8", "all")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("dshgan-export", description=__doc__)
    parser.add_argument("workdir", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("--format", choices=("saved_model", "tflite"), required=True)
    parser.add_argument("--quantize", choices=QUANTIZATIONS, help="numbers of the LiteRT file (default: float32)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the exports; made where it is missing")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        if options.format == "saved_model" and options.quantize is not None:
            raise InputError(f"--quantize {options.quantize} is for --format tflite; leave it out")
        target, checks, keras_milliseconds = _export(
            options.workdir, options.format, options.quantize or "float32", options.output
        )
    except (OSError, ValueError) as error:
        Console(stderr=True).print(
            f"dshgan-export: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 2
    console.print(_table(checks, keras_milliseconds))
    console.print(f"written: {target}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _table(checks: list[Check], keras_milliseconds: float) -> Table:
    images = checks[0].parity.images
    table = Table(
        title=f"Exported encoders beside Keras: {images} query images, MAP on a database sample; LiteRT: 1 thread"
    )
    for column in ("encoder", "KiB", "ms, 1 image", "equal bits", "different", "of these undecided", "MAP"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    table.add_row("Keras", "", f"{keras_milliseconds:.3f}", "", "", "", f"{checks[0].keras_map:.4f}")
    for check in checks:
        table.add_row(
            check.name,
            f"{check.kib:.0f}",
            f"{check.milliseconds:.3f}",
            f"{check.parity.agreement:.4%}",
            str(check.parity.different),
            str(check.parity.undecided),
            f"{check.map:.4f}",
        )
    return table


def _export(workdir: Path, form: str, quantize: str, output: Path) -> tuple[Path, list[Check], float]:
    from dshgan_tf.data import splits_of_run
    from export.held_out import HeldOut
    from export.saved_model import export_saved_model
    from export.search import load_run
    from export.tflite import VARIANTS, export_tflite

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
