"""Arrays of images as splits that only train."""

from __future__ import annotations

from typing import Any

import numpy as np

from dshgan_tf.data.splits import Part, Splits
from dshgan_tf.errors import InputError
from dshgan_tf.images.preprocessing import check_images, to_uint8
from dshgan_tf.labels import check_labels


def splits_to_train(images: Any, labels: Any, num_classes: int, multi_label: bool) -> Splits:
    """Sort arrays into labelled and unlabelled images, to train on all of them; nothing is left to evaluate on.

    Args:
        images: (N, H, W, C) uint8, or float in 0..255, which is rounded.
        labels: class ids (N,), -1 where unlabelled, or multi-hot (N, L), zeros where unlabelled.
        num_classes: L.
        multi_label: whether an image may have several labels.

    Returns:
        Splits whose query, database and validation parts are empty.

    Raises:
        ValueError: images or labels that do not fit, or a class without a labelled image.
    """
    pixels = check_images(images)
    if pixels.dtype != np.uint8:
        if pixels.size and pixels.max() <= 1:
            raise InputError(
                f"float images lie within 0..{pixels.max():.3g}; multiply them by 255 (0..255 is expected)"
            )
        pixels = to_uint8(pixels)
    labels, _ = check_labels(labels, len(pixels), num_classes)
    if multi_label != (labels.ndim == 2):
        wanted = "multi-hot labels (N, L)" if multi_label else "class ids (N,)"
        raise InputError(f"the model was built with multi_label={multi_label} and takes {wanted}, got {labels.shape}")
    known = labels.any(axis=1) if multi_label else labels >= 0
    some, others = np.flatnonzero(known), np.flatnonzero(~known)
    nothing = Part(pixels[:0], labels[:0], np.zeros(0, np.int64))
    return Splits(
        query=nothing,
        labeled=Part(pixels[some], labels[some], some),
        unlabeled=Part(pixels[others], None, others),
        database=nothing,
        validation=nothing,
        num_classes=num_classes,
        class_names=tuple(str(number) for number in range(num_classes)),
        name="arrays",
        protocol="all to train",
        seed=0,
    )
