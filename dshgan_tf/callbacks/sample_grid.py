"""Pictures of the generator's samples while a model trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dshgan_tf.errors import InputError
from dshgan_tf.images.grid import enlarge, tile, write_png
from dshgan_tf.images.nearest_images import NearestImages


class SampleGrid(keras.callbacks.Callback):
    """Write the generator's images, one row a class, as a PNG file and to TensorBoard.

    Features are shown by the real images that have the most alike.

    Args:
        directory: folder for `samples-EPOCH.png`; made where it is missing.
        every: epochs between pictures; the last epoch is always drawn.
        columns: images a class.
        log_dir: TensorBoard folder, or None.
        zoom: factor by which pixels are repeated; None for about 32 pixels a side at least.
        nearest: real images of which those nearest to a generated feature vector are drawn; None where the generator
            makes pixels.

    Raises:
        ValueError: when the training begins: the generator makes features, and there are no images to show them by.
    """

    def __init__(
        self,
        directory: str,
        every: int = 1,
        columns: int = 10,
        log_dir: str | None = None,
        zoom: int | None = None,
        nearest: NearestImages | None = None,
    ) -> None:
        super().__init__()
        self.directory, self.every, self.columns = Path(directory), every, columns
        self.log_dir, self.zoom, self.nearest = log_dir, zoom, nearest

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Refuse to draw features without images."""
        generator = self.model.generator
        if generator is not None and generator.makes_features and self.nearest is None:
            raise InputError(
                "this generator makes features; give SampleGrid the images to show them by, "
                "nearest=NearestImages(features, images)"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw at the chosen epochs."""
        last = epoch + 1 == self.params.get("epochs")
        if self.model.generator is None or ((epoch + 1) % self.every and not last):
            return
        labels = np.repeat(np.arange(self.model.num_classes), self.columns)
        images = self.model.generate(labels)
        if self.nearest is not None:
            images = self.nearest(images)
        grid = tile(enlarge(images, self.zoom), self.columns)
        write_png(self.directory / f"samples-{epoch + 1:04d}.png", grid)
        if self.log_dir is not None:
            writer = tf.summary.create_file_writer(str(self.log_dir))
            with writer.as_default():
                tf.summary.image("samples", grid[None], step=epoch + 1)
            writer.close()
