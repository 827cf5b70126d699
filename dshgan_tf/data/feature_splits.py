"""Splits whose images are the features that a frozen trunk makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from dshgan_tf.data.feature_cache import trunk_features
from dshgan_tf.data.splits import PARTS, Part, Splits
from dshgan_tf.models.hash_encoder import HashEncoder
from dshgan_tf.teacher.label_spreading import spread_labels


def feature_splits(splits: Splits, encoder: HashEncoder, teach: bool = True) -> Splits:
    """Compute the features of all images once, and let a teacher label the unlabelled ones.

    Features are kept on disk (see `feature_cache`), so a second run with the same trunk finds them.

    Args:
        splits: of pixels.
        encoder: with a frozen trunk.
        teach: whether the labels are spread over the unlabelled images.

    Returns:
        The same splits; images are (N, F) float32, and `taught` has the teacher's probabilities.
    """
    parts = {}
    for name in ("database", *PARTS):  # the largest first: most of the others are in it
        part: Part = getattr(splits, name)
        if name not in parts:
            parts[name] = Part(trunk_features(encoder, part.images, name), part.labels, part.ids)
    taught = None
    if teach and len(splits.unlabeled):
        known = splits.multi_hot(splits.labeled.labels)
        unknown = np.zeros((len(splits.unlabeled), splits.num_classes), np.float32)
        features = np.concatenate([parts["labeled"].images, parts["unlabeled"].images])
        taught = spread_labels(features, np.concatenate([known, unknown]), splits.multi_label)[len(known) :]
    return dataclasses.replace(splits, **parts, taught=taught)
