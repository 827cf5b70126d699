"""Callbacks: retrieval on the validation part, and samples of the generator as pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dshgan_tf import retrieval
from dshgan_tf.data.splits import Splits
from dshgan_tf.files import atomic_path


class RetrievalEvaluation(keras.callbacks.Callback):
    """Log `val_map`: MAP of the validation images over the labelled training images.

    Queries take no part, so what is chosen by `val_map` is not chosen by the test. Where the splits have no
    validation part (fewer than 5 labels a class) it says so once and logs nothing.

    Args:
        splits: the data that the model trains on.
        every: epochs between evaluations; the last epoch is always evaluated.
    """

    def __init__(self, splits: Splits, every: int = 1) -> None:
        super().__init__()
        self.splits, self.every = splits, every

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Say when there is nothing to validate on."""
        if not len(self.splits.validation):
            print(
                "RetrievalEvaluation: no validation part (fewer than 5 labels a class), so no val_map; "
                "the last weights count."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `val_map` to the epoch's logs."""
        if not len(self.splits.validation):
            return
        if (epoch + 1) % self.every and epoch + 1 != self.params.get("epochs"):
            return
        query, database = self.splits.validation, self.splits.labeled
        result = retrieval.evaluate(
            self.model.encode(query.images),
            query.labels,
            self.model.encode(database.images),
            database.labels,
            num_bits=self.model.num_bits,
        )
        if logs is not None:
            logs["val_map"] = result["map"]


def enlarge(images: np.ndarray, zoom: int | None = None) -> np.ndarray:
    """Repeat pixels.

    Args:
        images: (N, H, W, C) uint8.
        zoom: how often; None for about 32 pixels a side at least.

    Returns:
        (N, zoom H, zoom W, C) uint8.
    """
    zoom = zoom or max(1, 32 // images.shape[1])
    return images.repeat(zoom, axis=1).repeat(zoom, axis=2)


def tile(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lay images out in a grid on white.

    Args:
        images: (N, H, W, C) uint8.
        columns: images a row.
        gap: pixels between images.

    Returns:
        (height, width, 3) uint8.
    """
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    canvas = np.full((rows * height + gap, columns * width + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * height, gap + i % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


class SampleGrid(keras.callbacks.Callback):
    """Write the generator's images, one row a class, as a PNG file and to TensorBoard.

    Args:
        directory: folder for `samples-EPOCH.png`; made where it is missing.
        every: epochs between pictures; the last epoch is always drawn.
        columns: images a class.
        log_dir: TensorBoard folder, or None.
        zoom: factor by which pixels are repeated; None for about 32 pixels a side at least.
    """

    def __init__(
        self, directory: str, every: int = 1, columns: int = 10, log_dir: str | None = None, zoom: int | None = None
    ) -> None:
        super().__init__()
        self.directory, self.every, self.columns = Path(directory), every, columns
        self.log_dir, self.zoom = log_dir, zoom

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw at the chosen epochs."""
        last = epoch + 1 == self.params.get("epochs")
        if self.model.generator is None or ((epoch + 1) % self.every and not last):
            return
        labels = np.repeat(np.arange(self.model.num_classes), self.columns)
        images = self.model.generate(labels)
        grid = tile(enlarge(images, self.zoom), self.columns)
        write_png(self.directory / f"samples-{epoch + 1:04d}.png", grid)
        if self.log_dir is not None:
            writer = tf.summary.create_file_writer(str(self.log_dir))
            with writer.as_default():
                tf.summary.image("samples", grid[None], step=epoch + 1)
            writer.close()


def write_png(target: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 as a PNG file, atomically."""
    from PIL import Image

    with atomic_path(target) as path:
        Image.fromarray(image).save(path, "PNG")
