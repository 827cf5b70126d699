"""Pictures of synthetic images by the names of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dshgan_tf.data.feature_cache import trunk_features
from dshgan_tf.images.grid import enlarge, tile, write_png
from dshgan_tf.images.nearest_images import NearestImages
from dshgan_tf.labels import rows_named
from dshgan_tf.run import Run


def draw_samples(run: Run, names: Sequence[str], picture: Path, count: int = 10, seed: int = 0) -> list[str]:
    """Write a picture of synthetic images, one row a name; of features, the nearest images of the database.

    Args:
        run: finished.
        names: classes, or several labels with `|` between them; none for every class.
        picture: PNG file to write.
        count: images a row, at least 1.
        seed: of the noise.

    Returns:
        The names, from top to bottom.

    Raises:
        InputError: no finished run, no such class, or a model without a generator.
    """
    model, class_names = run.load_model(), run.class_names()
    drawn = list(names) or class_names
    rows = rows_named(drawn, class_names).repeat(count, axis=0)
    images = model.generate(rows, seed)
    if model.generator.makes_features:  # a picture can show them by the nearest real images
        splits = run.splits()
        features = trunk_features(model.average_encoder, splits.database.images, "database")
        images = NearestImages(features, splits.database.images)(images)
    write_png(picture, tile(enlarge(images), count))
    return drawn
