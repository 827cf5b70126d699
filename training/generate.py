"""`dshgan-generate DIR NAME... --output PICTURE`: synthetic images of classes by their names, one row each."""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported: off by default on some CPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import json
from pathlib import Path

from rich.console import Console

from dshgan_tf.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("dshgan-generate", description=__doc__)
    parser.add_argument("workdir", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help='class, or several: "sky|clouds" (default: every class)'
    )
    parser.add_argument("--count", type=int, default=10, help="images of each")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--output", type=Path, required=True, metavar="PICTURE", help="a PNG file")
    options = parser.parse_args(arguments)
    try:
        import dshgan_tf as dsh
        from dshgan_tf.callbacks import enlarge, tile, write_png
        from dshgan_tf.data.labels import rows_named
        from training.evaluate import require_finished

        require_finished(options.workdir)
        if options.count < 1:
            raise InputError(f"--count must be at least 1, got {options.count}")
        class_names = json.loads((options.workdir / "splits.json").read_text())["class_names"]
        names = options.names or class_names
        rows = rows_named(names, class_names).repeat(options.count, axis=0)
        images = dsh.load_model(options.workdir / "model.keras").generate(rows, options.seed)
        write_png(options.output, tile(enlarge(images), options.count))
        Console().print(f"{options.output}, from top to bottom: {', '.join(names)}", highlight=False, markup=False)
    except (OSError, ValueError) as error:
        Console(stderr=True).print(
            f"dshgan-generate: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 2
    return 0
