"""Labels spread over the graph of nearest features: by hand, against scikit-learn, and on digits."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits
from sklearn.semi_supervised import LabelSpreading

from dshgan_tf.teacher import class_frequency as frequencies
from dshgan_tf.teacher import nearest_graph as graphs
from dshgan_tf.teacher import several_labels
from dshgan_tf.teacher.class_frequency import class_frequency, confusion, explain, shares_named
from dshgan_tf.teacher.label_spreading import REST, class_probabilities, spread, spread_labels, surest
from dshgan_tf.teacher.linear_classifier import classify, classify_each_label
from dshgan_tf.teacher.nearest_graph import nearest_graph, normalised_features
from dshgan_tf.teacher.one_label import MANY_LABELS, teach_one_label
from dshgan_tf.teacher.several_labels import presence, teach_several_labels
from dshgan_tf.teacher.teach import teach


def random_features(count, size, seed=0):
    return normalised_features(np.random.default_rng(seed).normal(size=(count, size)) ** 2)


def test_two_joined_images_by_hand():
    # S = [[0, 1], [1, 0]], Y = (1, 0). (I - aS)^-1 = [[1, a], [a, 1]] / (1 - a^2), so F = (1 - a) (1, a) / (1 - a^2).
    graph = scipy.sparse.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32))
    found = spread(graph, np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(found[:, 0], (1 - REST) * np.array([1, REST]) / (1 - REST**2), rtol=1e-4)


def test_class_mass_by_hand():
    # The first class got 4 in all, the second 1; both are to get the same: the second counts four times as much.
    mass = np.array([[3.0, 0.5], [1.0, 0.5], [0.0, 0.0]])
    found = class_probabilities(mass, np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [[3 / 5, 2 / 5], [1 / 3, 2 / 3], [0.5, 0.5]], rtol=1e-5)


def test_several_labels_by_hand():
    # A label that half of the images have: presence 2 of 4 in all, absence 1 of 2 in all, so p = .25 / (.25 + .25).
    present, absent = np.array([[2.0], [2.0]]), np.array([[1.0], [1.0]])
    np.testing.assert_allclose(presence(present, absent, np.array([0.5])), [[0.5], [0.5]], rtol=1e-5)
    np.testing.assert_allclose(presence(present, absent, np.array([0.2])), [[0.2], [0.2]], rtol=1e-5)


def test_the_surest_of_each_class_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    labels = np.zeros((5, 2))
    labels[4, 1] = 1
    found = surest(probabilities, labels, share=0.67)  # 2 of the 3 of class 0, 1 of the 2 of class 1
    np.testing.assert_array_equal(found, [[1, 0], [1, 0], [0, 0], [0, 0], [0, 1]])


def test_spreading_equals_scikit_learn():
    features = random_features(200, 6)
    weights = np.maximum(features @ features.T, 0) ** 3  # any symmetric graph
    np.fill_diagonal(weights, 0)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    ids = np.full(200, -1)
    ids[:9] = np.arange(9) % 3
    with pytest.warns(UserWarning, match="max_iter"):
        other = LabelSpreading(kernel=lambda a, b: weights, alpha=REST, max_iter=1500, tol=0).fit(features, ids)
    labels = np.eye(3)[ids] * (ids >= 0)[:, None]
    found = spread(scipy.sparse.csr_matrix((weights * scale[:, None] * scale).astype(np.float32)), labels)
    found /= found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, other.label_distributions_, atol=2e-4)


def test_the_graph_joins_the_nearest():
    features = random_features(120, 5)
    graph = nearest_graph(features, neighbours=4).toarray()
    cosines = features @ features.T
    np.fill_diagonal(cosines, -2)
    near = np.zeros((120, 120), bool)
    np.put_along_axis(near, np.argsort(-cosines, axis=1)[:, :4], True, axis=1)
    weights = np.where(near, np.maximum(cosines, 0), 0)
    weights = weights + weights.T
    scale = 1 / np.sqrt(np.maximum(weights.sum(axis=1), 1e-12))
    np.testing.assert_allclose(graph, weights * scale[:, None] * scale, atol=1e-5)
    assert len(nearest_graph(features[:3], neighbours=10).toarray()) == 3  # fewer images than neighbours


def test_an_approximate_graph_is_nearly_the_exact_one(monkeypatch):
    features = random_features(3000, 8)
    exact = nearest_graph(features) > 0
    monkeypatch.setattr(graphs, "EXACT_UP_TO", 100)
    found = nearest_graph(features) > 0
    assert exact.multiply(found).sum() > 0.95 * exact.sum()


@pytest.mark.parametrize(("rounds", "least"), [(0, 0.85), (4, 0.9)])
def test_one_label_a_class_names_most_digits(rounds, least):
    digits = load_digits()
    rng = np.random.default_rng(50)
    chosen = [rng.choice(np.flatnonzero(digits.target == number)) for number in range(10)]
    labels = np.zeros((len(digits.target), 10))
    labels[chosen, digits.target[chosen]] = 1
    found = spread_labels(nearest_graph(normalised_features(digits.data)), labels, rounds=rounds)
    assert (found.argmax(axis=1) == digits.target).mean() > least
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[chosen], labels[chosen])


def test_a_round_spreads_again_from_the_surest():
    """Put together from the parts, which are tested by hand."""
    digits = load_digits()
    labels = np.zeros((len(digits.target), 10), np.float32)
    chosen = [np.flatnonzero(digits.target == number)[0] for number in range(10)]
    labels[chosen, range(10)] = 1
    graph, even = nearest_graph(normalised_features(digits.data), 10), np.full(10, 0.1)
    found = [class_probabilities(spread(graph, labels), even)]
    for _ in range(2):
        found[-1][chosen] = labels[chosen]
        found.append(class_probabilities(spread(graph, surest(found[-1], labels)), even))
        found[-1][chosen] = labels[chosen]
    for rounds, expected in enumerate(found):
        np.testing.assert_allclose(spread_labels(graph, labels, rounds=rounds), expected, atol=1e-5)
    assert all(np.abs(found[i + 1] - found[i]).max() > 0.1 for i in range(2))


def test_several_labels_are_found_one_by_one():
    digits = load_digits()
    rows = np.stack([digits.target % 2 == 0, digits.target > 4, digits.target < 3], axis=1)
    labels = np.zeros_like(rows, float)
    known = np.random.default_rng(0).choice(len(rows), 200, replace=False)
    labels[known] = rows[known]
    known = labels.any(axis=1)  # an image without any of the labels counts as unlabelled
    found = teach_several_labels(digits.data, labels)
    assert ((found > 0.5) == rows)[~known & rows.any(axis=1)].mean() > 0.9
    np.testing.assert_array_equal(found[known], labels[known])
    np.testing.assert_array_equal(teach(digits.data, labels, multi_label=True), found)


def test_the_teacher_of_several_labels_is_the_mean_of_two():
    """Put together from the parts; a label that nobody has stays unlikely."""
    digits = load_digits()
    labels = np.zeros((len(digits.target), 3), np.float32)
    labels[:300] = np.stack([digits.target % 2 == 0, digits.target > 4, digits.target > 9], axis=1)[:300]
    known = labels.any(axis=1)
    rows = normalised_features(digits.data)
    graph, rest = nearest_graph(rows, 10), several_labels.REST
    absent = (1 - labels) * known[:, None]
    frequency = np.maximum(labels[known].mean(axis=0), 1e-6)
    spreading = presence(spread(graph, labels, rest), spread(graph, absent, rest), frequency)
    linear = classify_each_label(rows, labels)
    found = teach_several_labels(digits.data, labels)
    np.testing.assert_allclose(found[~known], (spreading + linear)[~known] / 2, atol=1e-6)
    assert found[:, 2].max() < 1e-3


def test_labels_far_away_spread_less_with_a_smaller_rest():
    # A chain of three, S = [[0, a, 0], [a, 0, a], [0, a, 0]] with a = 1 / sqrt(2): F = (1 - r) (I - r S)^-1 Y.
    a = 0.5**0.5
    chain = np.array([[0, a, 0], [a, 0, a], [0, a, 0]])
    labels = np.array([[1.0], [0.0], [0.0]])
    found = spread(scipy.sparse.csr_matrix(chain.astype(np.float32)), labels, 0.5)
    np.testing.assert_allclose(found, 0.5 * np.linalg.inv(np.eye(3) - 0.5 * chain) @ labels, rtol=1e-4)


def test_a_label_is_classified_by_its_own_side():
    rows = normalised_features(np.array([[4.0, 0, 1], [5, 0, 0], [0, 4, 0], [0, 5, 1], [6, 0, 0], [0, 6, 0]]))
    labels = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    found = classify_each_label(rows, labels)
    assert found[4, 0] > 0.9 > 0.1 > found[5, 0]
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_array_equal(found[:, 2], 1)


def test_a_class_is_told_by_its_own_side():
    rows = normalised_features(np.array([[4.0, 0, 1], [5, 0, 0], [0, 4, 0], [0, 5, 1], [6, 0, 0], [0, 6, 0]]))
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]])  # nobody has the second
    found = classify(rows, labels)
    assert found[4, 0] > 0.75 > 0.25 > found[5, 0]
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def some_digits(labels_per_class):
    digits, labels = load_digits(), np.zeros((1797, 10), np.float32)
    for number in range(10):
        labels[np.flatnonzero(digits.target == number)[:labels_per_class], number] = 1
    return digits, labels


def test_a_linear_classifier_has_its_say_where_labels_are_many():
    for count in (MANY_LABELS - 1, MANY_LABELS):
        digits, labels = some_digits(count)
        known, rows = labels.any(axis=1), normalised_features(digits.data)
        expected = spread_labels(nearest_graph(rows), labels)
        if count == MANY_LABELS:
            expected[~known] = (expected + classify(rows, labels))[~known] / 2
        found = teach_one_label(digits.data, labels)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_array_equal(found[known], labels[known])
        frequency = class_frequency(digits.data, labels)
        expected = teach_one_label(digits.data, labels, frequency)
        np.testing.assert_array_equal(teach(digits.data, labels, multi_label=False), expected)


def test_one_class_needs_no_classifier():
    digits, labels = some_digits(MANY_LABELS)
    labels[:, 1:] = 0
    np.testing.assert_allclose(teach_one_label(digits.data, labels)[:, 0], 1, rtol=1e-5)


def test_normalised_features_by_hand():
    # Signed roots (2, 0) and (0, -3); minus their mean (1, -1.5): (1, 1.5) and (-1, -1.5), of length 1.803.
    length = (1 + 1.5**2) ** 0.5
    expected = [[1 / length, 1.5 / length], [-1 / length, -1.5 / length]]
    np.testing.assert_allclose(normalised_features(np.array([[4.0, 0.0], [0.0, -9.0]])), expected, rtol=1e-6)


def test_frequencies_that_explain_what_was_named_by_hand():
    """Of class 0 nine in ten are named rightly, of class 1 eight in ten. If 0.83 are named 0, then 0.9 are 0."""
    confused = np.array([[0.9, 0.1], [0.2, 0.8]])
    found = explain(np.array([0.83, 0.17]), confused, np.array([0.5, 0.5]), pull=0)
    np.testing.assert_allclose(found, [0.9, 0.1], atol=1e-3)
    # Pulled so hard that nothing else counts.
    np.testing.assert_allclose(explain(np.array([0.83, 0.17]), confused, np.array([0.5, 0.5]), 1e6), 0.5, atol=1e-4)
    # What is named as often as it is confused tells nothing.
    blind = np.full((2, 2), 0.5)
    np.testing.assert_allclose(explain(np.array([0.5, 0.5]), blind, np.array([0.3, 0.7]), 0.1), [0.3, 0.7], atol=1e-6)


def skewed_digits(largest, ratio, per_class, seed):
    """Digits of which class c has largest / ratio ** (c / 9) images besides the labelled ones."""
    rng, digits = np.random.default_rng(seed), load_digits()
    counts = np.round(largest * ratio ** (-np.arange(10) / 9)).astype(int) + per_class
    places = [rng.permutation(np.flatnonzero(digits.target == c))[: counts[c]] for c in range(10)]
    labels = np.zeros((counts.sum(), 10), np.float32)
    starts = np.cumsum(counts) - counts
    for c, start in enumerate(starts):
        labels[start : start + per_class, c] = 1
    return digits.data[np.concatenate(places)], np.repeat(np.arange(10), counts), labels


def test_skewed_classes_are_found_and_named_better():
    right = []
    for seed in range(3):
        features, classes, labels = skewed_digits(160, 100, 10, seed)
        frequency, hidden = class_frequency(features, labels), ~labels.any(axis=1)
        true = np.bincount(classes[hidden], minlength=10) / hidden.sum()
        assert abs(frequency.sum() - 1) < 1e-6
        assert np.abs(frequency - true).sum() < 0.7 * np.abs(0.1 - true).sum()
        named = [teach_one_label(features, labels, given).argmax(axis=1) for given in (None, frequency)]
        right.append([(found == classes)[hidden].mean() for found in named])
        taught = teach(features, labels, multi_label=False)
        np.testing.assert_array_equal(taught, teach_one_label(features, labels, frequency))
    even, found = np.mean(right, axis=0)
    assert found > even + 0.02


@pytest.mark.parametrize("per_class", [1, 2, 10])
def test_even_classes_stay_exactly_even(per_class):
    for seed in range(3):
        features, _, labels = skewed_digits(150, 1, per_class, seed)
        np.testing.assert_array_equal(class_frequency(features, labels), labels[labels.any(axis=1)].mean(axis=0))


def test_few_unlabelled_images_tell_nothing():
    """By chance alone their classes differ."""
    features, classes, labels = skewed_digits(49, 1, 20, 0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        kept = np.concatenate(
            [np.flatnonzero(labels.any(axis=1)), rng.permutation(np.flatnonzero(~labels.any(axis=1)))[:60]]
        )
        np.testing.assert_allclose(class_frequency(features[kept], labels[kept]), 0.1, rtol=1e-6)


def test_of_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(frequencies, "MOST", 600)
    for per_class in (10, 80):  # fewer and more labelled images than are looked at
        features, classes, labels = skewed_digits(90, 1, per_class, 0)
        found = class_frequency(features, labels)
        assert np.isfinite(found).all() and abs(found.sum() - 1) < 1e-6
    features, classes, labels = skewed_digits(160, 100, 10, 0)
    hidden = ~labels.any(axis=1)
    monkeypatch.setattr(frequencies, "MOST", 300)
    true = np.bincount(classes[hidden], minlength=10) / hidden.sum()
    assert np.abs(class_frequency(features, labels) - true).sum() < np.abs(0.1 - true).sum()


def test_one_labelled_image_of_a_class_tells_nothing():
    features, _, labels = skewed_digits(160, 100, 10, 0)
    labels[np.flatnonzero(labels[:, 3])[1:]] = 0
    np.testing.assert_array_equal(class_frequency(features, labels), labels[labels.any(axis=1)].mean(axis=0))


def test_held_out_images_are_named_by_the_others():
    """Two far groups, and one image of class 0 that lies in the other one: held out, it is named 1."""
    features = np.repeat(np.eye(2, 4), 6, axis=0) + np.random.default_rng(0).normal(0, 0.01, (12, 4))
    labels = np.zeros((12, 2), np.float32)
    labels[:2, 0] = labels[6, 0] = labels[7:10, 1] = 1
    found = confusion(nearest_graph(normalised_features(features), 3), labels)
    # Three held out of each class; for surprise 1 right and 0.1 of each besides, 4.2 in all. Of class 0 two are right.
    np.testing.assert_allclose(found[0], [3.1 / 4.2, 1.1 / 4.2], atol=1e-3)
    assert 0.6 < found[1, 1] < 4.1 / 4.2  # the stray image takes a part of its neighbours


def test_a_class_with_more_labels_does_not_weigh_more_by_hand():
    """A star: one image in the middle, two of class 0 and one of class 1 around it."""
    graph = np.zeros((4, 4), np.float32)
    graph[0, 1:] = graph[1:, 0] = 1 / np.sqrt(3)
    labels = np.array([[0, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(shares_named(scipy.sparse.csr_matrix(graph), labels)[0], [0.5, 0.5], atol=1e-4)
