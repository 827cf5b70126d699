"""How frequent each class is among images without labels, where the labels were drawn class by class."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from dshgan_tf.teacher.label_spreading import spread
from dshgan_tf.teacher.nearest_graph import nearest_graph, normalised_features

FOLDS = 5  # parts of the labelled images, of which each is held out once
RIGHT, WRONG = 1.0, 0.1  # images that count as named rightly and as each other class before any was held out
PULL = 1.0  # labelled images a class, with which the frequencies among these weigh as much as what was found
FEWEST = 20  # unlabelled images a class, on average, below which chance alone makes frequencies differ
STEPS = 500  # of the expectation maximisation
CLEAR = 0.08  # sum of differences, from which on other frequencies than the labelled images' are believed
MOST = 10_000  # unlabelled images that are looked at, and as many labelled ones


def class_frequency(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Estimate how frequent each class is among unlabelled images.

    Labels spread without any belief about frequencies, and name a class for each unlabelled image. Held-out labelled
    images tell how often each class is named as which. The frequencies that explain best what was named are found by
    expectation maximisation. They are pulled to those of the labelled images, since few held-out ones tell little. They
    are believed where they differ clearly: on balanced data the estimate differs by chance, and would cost accuracy.

    Args:
        features: (N, F) float, or (N, H, W, C) pixels.
        labels: (N, L) one-hot; rows of zeros are unlabelled.

    Returns:
        (L,) float, sum 1: as among the labelled images where a class has one of these, where fewer than 20 images a
        class are unlabelled, and where the estimate lies within a sum of differences of 0.08 of that.

    Reference:
        Lipton, Wang and Smola, "Detecting and correcting for label shift with black box predictors", ICML 2018: the
        confusion of held-out images; Azizzadenesheli et al., ICLR 2019: the pull.
    """
    known = labels.any(axis=1)
    counts = labels.sum(axis=0)
    frequency = labels[known].mean(axis=0)
    if counts.min() < 2 or (~known).sum() < FEWEST * len(counts):
        return frequency
    chosen = _some(labels)
    rows = normalised_features(features[chosen].reshape(len(chosen), -1).astype(np.float32))
    graph, some = nearest_graph(rows), labels[chosen]
    named = shares_named(graph, some)[~some.any(axis=1)].mean(axis=0)
    found = explain(named, confusion(graph, some), frequency, PULL / counts.min())
    return found if np.abs(found - frequency).sum() > CLEAR else frequency


def confusion(graph: scipy.sparse.spmatrix, labels: np.ndarray) -> np.ndarray:
    """Tell how often held-out images of each class are named as which.

    Args:
        graph: (N, N), from ``nearest_graph``.
        labels: (N, L) one-hot, at least 2 a class; rows of zeros are unlabelled.

    Returns:
        (L, L) float64, rows of sum 1: the share of class c that is named k.
    """
    count = labels.shape[1]
    found = RIGHT * np.eye(count) + WRONG
    classes = labels.argmax(axis=1)
    known = np.flatnonzero(labels.any(axis=1))
    places = {number: known[classes[known] == number] for number in range(count)}
    for fold in range(FOLDS):
        held = np.concatenate([members[fold::FOLDS] for members in places.values()])
        # A class of which nothing is left would never be named.
        kept = labels.copy()
        kept[held] = 0
        if kept.any(axis=0).all():
            np.add.at(found, classes[held], shares_named(graph, kept)[held])
    return found / found.sum(axis=1, keepdims=True)


def explain(named: np.ndarray, confused: np.ndarray, frequency: np.ndarray, pull: float) -> np.ndarray:
    """Find the frequencies of classes that explain what was named.

    Args:
        named: (L,) float, the share that each class was named; sum 1.
        confused: (L, L) float, from ``confusion``.
        frequency: (L,) float, to which they are pulled; sum 1.
        pull: how hard, at least 0: 1 is as hard as what was named.

    Returns:
        (L,) float64, sum 1.
    """
    shares = frequency.astype(np.float64)
    for _ in range(STEPS):
        joint = shares[:, None] * confused
        shares = (joint / joint.sum(axis=0)) @ named + pull * frequency
        shares /= shares.sum()
    return shares


def shares_named(graph: scipy.sparse.spmatrix, labels: np.ndarray) -> np.ndarray:
    """Tell which share of each image every class is named, when all classes weigh the same.

    Args:
        graph: (N, N), from ``nearest_graph``.
        labels: (N, L) one-hot, at least 1 a class; rows of zeros are unlabelled.

    Returns:
        (N, L) float32, rows of sum 1, or of zeros where nothing arrives.
    """
    mass = spread(graph, labels) / labels.sum(axis=0)
    return mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)


def _some(labels: np.ndarray) -> np.ndarray:
    """Places of some labelled images, equally many of each class where there are too many, and of some others."""
    rng, known = np.random.default_rng(0), labels.any(axis=1)
    drawn = [rng.permutation(np.flatnonzero(~known))[:MOST]]
    a_class = MOST // labels.shape[1]
    drawn += [rng.permutation(np.flatnonzero(labels[:, number]))[:a_class] for number in range(labels.shape[1])]
    return np.sort(np.concatenate(drawn))
