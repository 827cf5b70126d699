"""Splits whose images are the features that a frozen trunk makes of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from dshgan_tf.data.feature_cache import trunk_features
from dshgan_tf.data.splits import PARTS, Part, Splits
from dshgan_tf.teacher.teach import teach

if TYPE_CHECKING:
    from dshgan_tf.models.dshgan import DSHGAN
    from dshgan_tf.models.hash_encoder import HashEncoder


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
    parts = {name: getattr(splits, name) for name in PARTS}
    features = trunk_features(encoder, parts["database"].images, "database")
    parts = {name: _with_features(part, parts["database"].ids, features, encoder, name) for name, part in parts.items()}
    seen = dataclasses.replace(splits, **parts, taught=None)
    return with_teacher(seen) if teach and len(splits.unlabeled) else seen


def with_teacher(splits: Splits) -> Splits:
    """Let a teacher label the unlabelled images.

    Args:
        splits: of features, some of them unlabelled.

    Returns:
        The same splits, with the teacher's probabilities as `taught`.
    """
    known = splits.multi_hot(splits.labeled.labels)
    unknown = np.zeros((len(splits.unlabeled), splits.num_classes), np.float32)
    features = np.concatenate([splits.labeled.images, splits.unlabeled.images])
    taught = teach(features, np.concatenate([known, unknown]), splits.multi_label)
    return dataclasses.replace(splits, taught=taught[len(known) :])


def seen_by(model: DSHGAN, splits: Splits) -> Splits:
    """Return what a model trains on: the splits, or the features of its frozen trunk with a teacher's labels.

    Args:
        model: that will train.
        splits: of pixels.
    """
    if not model.trains_on_features:
        return splits
    return feature_splits(splits, model.average_encoder, teach=model.uses_unlabeled)


def _with_features(part: Part, ids: np.ndarray, features: np.ndarray, encoder: HashEncoder, name: str) -> Part:
    """Return the part with features for images; those of the images with these ids are there already."""
    if np.isin(part.ids, ids).all():
        order = np.argsort(ids)
        return Part(features[order[np.searchsorted(ids, part.ids, sorter=order)]], part.labels, part.ids)
    return Part(trunk_features(encoder, part.images, name), part.labels, part.ids)
