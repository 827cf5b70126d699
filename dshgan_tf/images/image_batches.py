"""Images in any form that a user has them, as batches of pixels that are checked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import WHITE, read_image
from dshgan_tf.images.preprocessing import check_images, to_uint8

if TYPE_CHECKING:
    import tensorflow as tf


def image_batches(
    images: Any, image_shape: tuple[int, int, int], batch_size: int, ground: int = WHITE
) -> Iterator[np.ndarray]:
    """Yield images as checked batches.

    Args:
        images: (N, H, W, C) array or tensor, uint8 or float in 0..255; a sequence of such images that decodes on
            slicing; a `tf.data.Dataset` of images, batched or not, alone, first in a tuple or as `image` in a dict; or
            the path of an image file, or several of them.
        image_shape: (H, W, C) that the model takes. Files are converted and resized to it, all else must have it.
        batch_size: images at a time; a batched dataset keeps its own batches.
        ground: grey level that shows where a file is transparent.

    Yields:
        (B, H, W, C) uint8, or float32 in 0..255.

    Raises:
        ValueError: images that do not fit, or a file that is no image.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if isinstance(images, Iterator):
        images = list(images)
    if hasattr(images, "element_spec"):
        batches = _from_dataset(images, image_shape, batch_size)
    elif (paths := _as_paths(images)) is not None:
        batches = _from_files(paths, image_shape, batch_size, ground)
    else:
        whole = images if hasattr(images, "shape") else _as_array(images)
        if len(whole.shape) != 4:
            check_images(whole, image_shape)  # says what is wrong with the axes
        batches = (whole[start : start + batch_size] for start in range(0, len(whole), batch_size))
    for number, batch in enumerate(batches):
        checked = check_images(batch, image_shape)
        if number == 0 and checked.dtype != np.uint8 and checked.size and checked.max() <= 1:
            warnings.warn(
                f"float images lie within 0..{checked.max():.3g}, but 0..255 is expected; multiply them by 255",
                stacklevel=4,
            )
        yield checked


def _as_paths(images: Any) -> list[str] | None:
    """The paths of image files, None where it is something else."""
    if isinstance(images, str | os.PathLike):
        return [os.fspath(images)]
    listed = images.tolist() if isinstance(images, np.ndarray) and images.dtype.kind in "OU" else images
    if isinstance(listed, Sequence) and len(listed) and all(isinstance(item, str | os.PathLike) for item in listed):
        return [os.fspath(item) for item in listed]
    return None


def _as_array(images: Any) -> np.ndarray:
    try:
        return np.asarray(images)
    except ValueError as error:  # NumPy's own words for it are "inhomogeneous shape"
        raise InputError("images of several sizes; resize them, or pass the paths of image files") from error


def _from_files(
    paths: list[str], image_shape: tuple[int, int, int], batch_size: int, ground: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(paths), batch_size):
        # Rounded, as training decodes files. A black picture is no slip, so nothing is warned of.
        batch = paths[start : start + batch_size]
        yield np.stack([to_uint8(read_image(path, image_shape, ground=ground)) for path in batch])


def _from_dataset(dataset: tf.data.Dataset, image_shape: tuple[int, int, int], batch_size: int) -> Iterator[np.ndarray]:
    spec = dataset.element_spec
    if isinstance(spec, dict):
        if "image" not in spec:
            raise InputError(f"a dataset of dicts needs the key 'image', got {', '.join(map(str, spec))}")
        dataset = dataset.map(lambda element: element["image"])
    elif isinstance(spec, tuple):
        dataset = dataset.map(lambda image, *_: image)
    if dataset.element_spec.shape.rank is None:
        raise InputError("the dataset's images have no known shape; set_shape, or decode with expand_animations=False")
    if len(dataset.element_spec.shape) == len(image_shape):
        dataset = dataset.batch(batch_size)
    yield from dataset.as_numpy_iterator()
