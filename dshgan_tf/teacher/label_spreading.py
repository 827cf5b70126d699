"""Label spreading: few labels flow along the graph of nearest features to all images."""

from __future__ import annotations

import numpy as np
import scipy.sparse

REST = 0.99  # alpha: how much an image takes from its neighbours; the rest is its own label
TOLERANCE, MOST_STEPS = 1e-5, 1000  # of the conjugate gradients
ROUNDS, SHARE = 4, 0.8  # how often the surest images of each class become labelled, and which share of them


def spread(graph: scipy.sparse.spmatrix, labels: np.ndarray, rest: float = REST) -> np.ndarray:
    """Let labels flow along a graph until nothing changes: F = (1 - alpha) (I - alpha S)^-1 Y.

    Args:
        graph: (N, N), from ``nearest_graph``.
        labels: (N, L) float, rows of zeros where nothing is known.
        rest: alpha in [0, 1), how much an image takes from its neighbours.

    Returns:
        (N, L) float32, at least 0.

    Reference:
        Zhou et al., "Learning with local and global consistency", NIPS 2004, equation 4.
    """
    from scipy.sparse.linalg import cg

    count = graph.shape[0]
    system = scipy.sparse.identity(count, format="csr", dtype=np.float32) - rest * graph
    columns = [cg(system, column, rtol=TOLERANCE, maxiter=MOST_STEPS)[0] for column in labels.T.astype(np.float32)]
    return (1 - rest) * np.maximum(np.stack(columns, axis=1), 0)


def class_probabilities(mass: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Turn what flowed to each image into probabilities of its one class.

    Class mass normalisation: over all images a class gets as much as it is frequent. Otherwise the class whose
    labelled image lies in a crowd would take all.

    Args:
        mass: (N, L) float, from ``spread``.
        frequency: (L,) float, sum 1.

    Returns:
        (N, L) float32, rows of sum 1; equal parts where nothing arrived.

    Reference:
        Zhu, Ghahramani and Lafferty, ICML 2003, section 4: class mass normalisation.
    """
    balanced = mass * (frequency / np.maximum(mass.sum(axis=0), 1e-12)) + 1e-12 * frequency
    return (balanced / balanced.sum(axis=1, keepdims=True)).astype(np.float32)


def spread_labels(
    graph: scipy.sparse.spmatrix, labels: np.ndarray, frequency: np.ndarray | None = None, rounds: int = ROUNDS
) -> np.ndarray:
    """Tell how probable each class is for every image, from the few whose class is known.

    Labels are spread once. Then the surest share of each class counts as labelled, and the labels are spread again,
    ``rounds`` times. So one unlucky labelled image no longer speaks for its class alone.

    Args:
        graph: (N, N), from ``nearest_graph``, of labelled and unlabelled images.
        labels: (N, L) one-hot; rows of zeros are unlabelled.
        frequency: (L,) float, how frequent each class is; None for as among the labelled images.
        rounds: how often it is spread again, at least 0.

    Returns:
        (N, L) float32 probabilities; labelled images have their own labels.
    """
    labels = labels.astype(np.float32)
    known = labels.any(axis=1)
    frequency = labels[known].mean(axis=0) if frequency is None else frequency
    probabilities = class_probabilities(spread(graph, labels), frequency)
    for _ in range(rounds):
        probabilities[known] = labels[known]
        probabilities = class_probabilities(spread(graph, surest(probabilities, labels)), frequency)
    probabilities[known] = labels[known]
    return probabilities


def surest(probabilities: np.ndarray, labels: np.ndarray, share: float = SHARE) -> np.ndarray:
    """Return label rows of the surest images of each class, and of those whose label is known.

    Args:
        probabilities: (N, L) float.
        labels: (N, L) one-hot, rows of zeros where unlabelled.
        share: of the images of a class, in (0, 1].

    Returns:
        (N, L) float32, rows of zeros where the image is not among them.
    """
    chosen = labels.astype(np.float32).copy()
    classes = probabilities.argmax(axis=1)
    for number in range(probabilities.shape[1]):
        members = np.flatnonzero(classes == number)
        count = max(1, int(share * len(members)))
        best = members[np.argsort(-probabilities[members, number], kind="stable")[:count]]
        chosen[best] = 0
        chosen[best, number] = 1
    known = labels.any(axis=1)
    chosen[known] = labels[known]
    return chosen
