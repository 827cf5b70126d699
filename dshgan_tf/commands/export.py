"""`dshgan export DIR --format saved_model|tflite|web --output DIR`: the encoder of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run

if TYPE_CHECKING:
    from dshgan_tf.export.held_out import Check


def export(
    workdir: Positional[Path],
    *,
    format: Literal["saved_model", "tflite", "web"],
    output: Path,
    quantize: Literal["float32", "float16", "dynamic", "int8", "micro", "all"] | None = None,
    litert_js: Path | None = None,
    data_dir: str | None = None,
) -> None:
    """Export the encoder of a finished run, checked against Keras before it is written.

    Args:
        workdir: Folder of a finished run.
        format: saved_model for TensorFlow Serving, tflite for devices, web for a browser.
        output: Folder of the exports; made where it is missing.
        quantize: Numbers of the LiteRT file; float32 by default. micro is for microcontrollers, and not among all.
        litert_js: For web, a folder node_modules with LiteRT.js; without it npm fetches LiteRT.js.
        data_dir: Where the data of the run lie now, if they moved.
    """
    if format != "tflite" and quantize is not None:
        raise InputError(f"--quantize {quantize} is for --format tflite; leave it out")
    if format != "web" and litert_js is not None:
        raise InputError(f"--litert-js {litert_js} is for --format web; leave it out")
    from dshgan_tf.export.run import export_run

    run = Run(workdir, data_dir)
    target, checks, keras_milliseconds = export_run(run, format, quantize or "float32", output, litert_js)
    console = terminal.output()
    console.print(_table(checks, keras_milliseconds))
    console.print(f"written: {target}", markup=False, soft_wrap=True)


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


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(export, arguments)
