"""Random augmentation of a batch, drawn so that the number of replicas changes nothing."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dshgan_tf.images.augmentation import NUM_DRAWS, augment, cut, recolour
from dshgan_tf.replicas import global_size, own_rows


class Augmenter:
    """Augment images in training.

    Args:
        seed_generator: of the random numbers; part of the model, so that it is saved and restored.
        enabled: False leaves images as they are.
        holes: whether a hole may hide a part of an image. It may hide a label where an image has several.
    """

    def __init__(self, seed_generator: keras.random.SeedGenerator, enabled: bool, holes: bool) -> None:
        self.seed_generator, self.enabled, self.holes = seed_generator, enabled, holes

    def weak(self, images: Any, hole: bool = False) -> Any:
        """Shift and mirror labelled images; cut a hole where `hole`."""
        return self._apply(images, colour=False, hole=hole)

    def strong(self, images: Any, members: int = 1) -> Any:
        """Shift, mirror, recolour and cut images that stack the `members` of every triplet."""
        return self._apply(images, colour=True, hole=True, members=members)

    def _apply(self, images: Any, colour: bool, hole: bool, members: int = 1) -> Any:
        if not self.enabled or len(images.shape) == 2:  # features are augmented before they are computed, if at all
            return images
        draws = draw(keras.random.uniform, images, NUM_DRAWS, self.seed_generator, members)
        images = augment(images, draws)
        if colour:
            images = recolour(images, draws)
        return cut(images, draws) if hole and self.holes else images


def draw(distribution: Any, like: Any, size: int, source: Any, members: int = 1) -> Any:
    """Draw a row of random numbers for each row of `like`, which stacks the `members` of every triplet.

    Every replica draws for the global batch and keeps its triplets, so that noise differs between replicas and does not
    depend on their number.

    Args:
        distribution: of `keras.random`, called with shape and seed.
        like: (members * B, ...).
        size: numbers a row.
        source: a seed generator.
        members: how many rows a triplet has in `like`.

    Returns:
        (members * B, size) float.
    """
    shape = (global_size(ops.shape(like)[0] // members), members * size)
    rows = own_rows(ops.cast(distribution(shape, seed=source), keras.config.floatx()))
    return ops.concatenate(ops.split(rows, members, axis=-1)) if members > 1 else rows
