"""What is known of unlabelled images before an encoder has learnt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dshgan_tf.teacher.class_frequency import class_frequency
from dshgan_tf.teacher.one_label import teach_one_label
from dshgan_tf.teacher.several_labels import teach_several_labels


class Taught(NamedTuple):
    """What a teacher tells.

    Attributes:
        probabilities: (N, L) float32, how probable each label is for each image; labelled ones have their own labels.
        frequency: (L,) float, how frequent each label is held to be.
    """

    probabilities: np.ndarray
    frequency: np.ndarray


def teach(features: np.ndarray, labels: np.ndarray, multi_label: bool) -> Taught:
    """Tell how probable each label is for every image, from the few whose labels are known.

    Args:
        features: (N, F) float, of labelled and unlabelled images.
        labels: (N, L) multi-hot; rows of zeros are unlabelled.
        multi_label: whether an image may have several labels.

    Returns:
        What the teacher tells.
    """
    if multi_label:
        return Taught(teach_several_labels(features, labels), labels[labels.any(axis=1)].mean(axis=0))
    frequency = class_frequency(features, labels)
    return Taught(teach_one_label(features, labels, frequency), frequency)
