"""A teacher where an image has one label: few labels spread near by, many also teach a linear classifier."""

from __future__ import annotations

import numpy as np

from dshgan_tf.teacher.label_spreading import spread_labels
from dshgan_tf.teacher.linear_classifier import classify
from dshgan_tf.teacher.nearest_graph import nearest_graph, normalised_features

MANY_LABELS = 20  # labelled images a class, from which on a linear classifier has its say


def teach_one_label(features: np.ndarray, labels: np.ndarray, frequency: np.ndarray | None = None) -> np.ndarray:
    """Tell how probable each class is for every image, from the few whose class is known.

    Labels spread over the graph of nearest features. From 20 labelled images a class on, the result is the mean of that
    and of a logistic regression. With fewer, the regression knows less than the graph (docs/method/photographs.md).

    Args:
        features: (N, F) float, of labelled and unlabelled images.
        labels: (N, L) one-hot; rows of zeros are unlabelled.
        frequency: (L,) float, how frequent each class is; None for as among the labelled images.

    Returns:
        (N, L) float32 probabilities; labelled images have their own labels.
    """
    rows, labels = normalised_features(features), labels.astype(np.float32)
    probabilities = spread_labels(nearest_graph(rows), labels, frequency)
    known, classes = labels.any(axis=1), labels.any(axis=0)
    if classes.sum() > 1 and known.sum() >= MANY_LABELS * classes.sum():
        probabilities = (probabilities + classify(rows, labels)) / 2
        probabilities[known] = labels[known]
    return probabilities
