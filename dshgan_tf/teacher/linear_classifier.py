"""A linear classifier of features: with many labelled images it knows more than their neighbours do."""

from __future__ import annotations

import numpy as np

INVERSE_PENALTY = {"one label": 3.0, "several labels": 30.0}  # C of the logistic regression, on rows of length 1
MOST_STEPS = 300  # of its solver


def classify(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Learn the one class of an image by a multinomial logistic regression.

    Args:
        rows: (N, F) float32, from ``normalised_features``.
        labels: (N, L) one-hot; rows of zeros are unlabelled.

    Returns:
        (N, L) float32 probabilities, 0 for a class that no labelled image has.
    """
    from sklearn.linear_model import LogisticRegression

    known = labels.any(axis=1)
    probabilities = np.zeros(labels.shape, np.float32)
    model = LogisticRegression(C=INVERSE_PENALTY["one label"], max_iter=MOST_STEPS)
    model.fit(rows[known], labels[known].argmax(axis=1))
    probabilities[:, model.classes_] = model.predict_proba(rows)
    return probabilities


def classify_each_label(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Learn each of several labels by a logistic regression of its own.

    Args:
        rows: (N, F) float32, from ``normalised_features``.
        labels: (N, L) multi-hot; rows of zeros are unlabelled.

    Returns:
        (N, L) float32 in [0, 1]; a label that all labelled images have, or none, is as probable for all others.
    """
    from sklearn.linear_model import LogisticRegression

    known = labels.any(axis=1)
    probabilities = np.empty(labels.shape, np.float32)
    for label, column in enumerate(labels[known].T):
        if column.min() == column.max():
            probabilities[:, label] = column[0]
            continue
        model = LogisticRegression(C=INVERSE_PENALTY["several labels"], max_iter=MOST_STEPS).fit(rows[known], column)
        probabilities[:, label] = model.predict_proba(rows)[:, 1]
    return probabilities
