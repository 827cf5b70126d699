"""What is known of unlabelled images before an encoder has learnt."""

from __future__ import annotations

import numpy as np

from dshgan_tf.teacher.class_frequency import class_frequency
from dshgan_tf.teacher.one_label import teach_one_label
from dshgan_tf.teacher.several_labels import teach_several_labels


def teach(features: np.ndarray, labels: np.ndarray, multi_label: bool) -> np.ndarray:
    """Tell how probable each label is for every image, from the few whose labels are known.

    Args:
        features: (N, F) float, of labelled and unlabelled images.
        labels: (N, L) multi-hot; rows of zeros are unlabelled.
        multi_label: whether an image may have several labels.

    Returns:
        (N, L) float32 probabilities; labelled images have their own labels.
    """
    if multi_label:
        return teach_several_labels(features, labels)
    return teach_one_label(features, labels, class_frequency(features, labels))
