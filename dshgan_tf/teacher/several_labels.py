"""A teacher where an image may have several labels: they spread near by, and a linear classifier has its say."""

from __future__ import annotations

import numpy as np

from dshgan_tf.teacher.label_spreading import class_probabilities, spread
from dshgan_tf.teacher.linear_classifier import classify_each_label
from dshgan_tf.teacher.nearest_graph import nearest_graph, normalised_features

REST = 0.8  # alpha: with 0.99, labels that lie side by side in a picture flow into one another


def teach_several_labels(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell how probable each label is for every image, from the few whose labels are known.

    It is the mean of two opinions. One spreads each label, and its absence, over the graph of nearest features. The
    other is a logistic regression of each label. They make different mistakes.

    Args:
        features: (N, F) float, of labelled and unlabelled images.
        labels: (N, L) multi-hot; rows of zeros are unlabelled.

    Returns:
        (N, L) float32 probabilities; labelled images have their own labels.
    """
    rows, labels = normalised_features(features), labels.astype(np.float32)
    known = labels.any(axis=1)
    frequency = np.clip(labels[known].mean(axis=0), 1e-6, 1 - 1e-6)
    graph = nearest_graph(rows)
    absent = np.where(known[:, None], 1 - labels, 0)
    spreading = presence(spread(graph, labels, REST), spread(graph, absent, REST), frequency)
    probabilities = (spreading + classify_each_label(rows, labels)) / 2
    probabilities[known] = labels[known]
    return probabilities


def presence(present: np.ndarray, absent: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Turn what flowed to each image into the probability of each of its labels, one by one.

    Args:
        present: (N, L) float, spread from the images that have the label.
        absent: (N, L) float, spread from those that have not.
        frequency: (L,) float in (0, 1), share of images with the label.

    Returns:
        (N, L) float32 in [0, 1].
    """
    pairs = np.stack([absent, present], axis=-1)
    shares = np.stack([1 - frequency, frequency], axis=-1)
    return np.stack([class_probabilities(pairs[:, i], shares[i])[:, 1] for i in range(pairs.shape[1])], axis=1)
