"""Pictures of synthetic images by the names of their classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import dshgan_tf as dsh
from dshgan_tf.callbacks import enlarge, tile, write_png
from dshgan_tf.labels import rows_named
from training.evaluate import require_finished


def draw_samples(workdir: Path, names: Sequence[str], picture: Path, count: int = 10, seed: int = 0) -> list[str]:
    """Write a picture of synthetic images, one row a name.

    Args:
        workdir: folder of a finished run.
        names: classes, or several labels with `|` between them; none for every class.
        picture: PNG file to write.
        count: images a row, at least 1.
        seed: of the noise.

    Returns:
        The names, from top to bottom.

    Raises:
        InputError: no finished run, no such class, or a model without a generator.
    """
    require_finished(workdir)
    class_names = json.loads((workdir / "splits.json").read_text())["class_names"]
    drawn = list(names) or class_names
    rows = rows_named(drawn, class_names).repeat(count, axis=0)
    images = dsh.load_model(workdir / "model.keras").generate(rows, seed)
    write_png(picture, tile(enlarge(images), count))
    return drawn
