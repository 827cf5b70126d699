import itertools

import keras
import numpy as np
import pytest
from keras import ops

from dshgan_tf import losses
from dshgan_tf.losses.pseudo_labels import pseudo_labels


def test_triplet_loss_by_hand():
    anchor, positive = np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 1.0]])
    negative = np.array([[1.0, 1.0, 1.0]])
    # |a - n|^2 = 2, |a - p|^2 = 1: max(0, m - 2 + 1) is 0 for m = 1, and 2 for m = 3.
    assert ops.convert_to_numpy(losses.triplet_loss(anchor, positive, negative, 1.0)) == [0.0]
    assert ops.convert_to_numpy(losses.triplet_loss(anchor, positive, negative, 3.0)) == [2.0]


def brute_force_mined(anchors, anchor_labels, others, other_labels, margin, graded=False):
    result = []
    for a, la in zip(anchors, anchor_labels, strict=True):
        values = []
        for p, lp in zip(others, other_labels, strict=True):
            for n, ln in zip(others, other_labels, strict=True):
                if la @ lp > 0 and la.any() and ln.any() and la @ ln == 0:
                    share = (la * lp).sum() / np.maximum(la, lp).sum() if graded else 1
                    value = margin * share - ((a - n) ** 2).sum() + ((a - p) ** 2).sum()
                    if value > 0:
                        values.append(value)
        result.append(np.mean(values) if values else 0.0)
    return np.array(result)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("multi_label", [False, True])
def test_mined_triplets_equal_brute_force(multi_label, graded):
    rng = np.random.default_rng(0)
    anchors, others = rng.random((5, 6)), rng.random((9, 6))
    if multi_label:
        anchor_labels, other_labels = (rng.random((n, 4)) < 0.4 for n in (5, 9))
        anchor_labels, other_labels = anchor_labels.astype(float), other_labels.astype(float)
    else:
        anchor_labels, other_labels = np.eye(3)[rng.integers(0, 3, 5)], np.eye(3)[rng.integers(0, 3, 9)]
        other_labels[4] = 0  # an image without a label belongs to no triplet
        anchor_labels[1] = 0
    got = losses.batch_triplet_loss(anchors, anchor_labels, others, other_labels, 1.5, graded)
    expected = brute_force_mined(anchors, anchor_labels, others, other_labels, 1.5, graded)
    plain = brute_force_mined(anchors, anchor_labels, others, other_labels, 1.5)
    assert np.array_equal(plain, expected) == (not graded or not multi_label)  # one label: nothing to grade
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-5)
    assert expected.any()


def completions(labels, known):
    """Every way to fill in the labels that are not known."""
    free = np.flatnonzero(known == 0)
    for values in itertools.product((0, 1), repeat=len(free)):
        row = labels.copy()
        row[free] = values
        yield row


def test_triplets_of_labels_known_in_part_hold_whatever_the_rest_is():
    rng = np.random.default_rng(1)
    anchors, others = rng.random((8, 5)), rng.random((20, 5))
    labels = [(rng.random((n, 4)) < 0.5).astype(float) for n in (8, 20)]
    known = [(rng.random((n, 4)) < 0.7).astype(float) for n in (8, 20)]
    for rows in (*labels, *known):
        rows[rows.sum(axis=1) == 0, 0] = 1
    expected, partly = [], 0
    for a, la, ka in zip(anchors, labels[0], known[0], strict=True):
        shares = [
            {bool(x @ y > 0) for x in completions(la, ka) for y in completions(lo, ko)}
            for lo, ko in zip(labels[1], known[1], strict=True)
        ]
        partly += sum(len(share) == 2 for share in shares)
        distances = ((others - a) ** 2).sum(axis=1)
        pairs = itertools.product(
            np.flatnonzero([s == {True} for s in shares]), np.flatnonzero([s == {False} for s in shares])
        )
        values = [value for p, n in pairs if (value := 1.5 - distances[n] + distances[p]) > 0]
        expected.append(np.mean(values) if values else 0.0)
    got = losses.batch_triplet_loss(anchors, labels[0], others, labels[1], 1.5, False, known)
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-5)
    assert np.count_nonzero(expected) >= 4 and partly > 5


def test_adversary_losses_by_hand():
    logits = np.array([0.0, np.log(3.0)])  # P(real) = 1/2 and 3/4
    np.testing.assert_allclose(losses.adversary_loss(logits, real=True), [np.log(2), np.log(4 / 3)], rtol=1e-6)
    np.testing.assert_allclose(losses.adversary_loss(logits, real=False), [np.log(2), np.log(4)], rtol=1e-6)
    # The paper's generator minimises minus the adversary's loss; the other form is -log P(real).
    np.testing.assert_allclose(
        losses.generator_adversary_loss(logits, "saturating"), [-np.log(2), -np.log(4)], rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.generator_adversary_loss(logits, "non_saturating"), [np.log(2), np.log(4 / 3)], rtol=1e-6
    )
    with pytest.raises(ValueError, match="'hinge'"):
        losses.generator_adversary_loss(logits, "hinge")


def test_classification_losses_by_hand():
    logits = np.log(np.array([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(
        losses.classification_loss(np.array([[0.0, 0.0, 1.0]]), logits), [np.log(8 / 5)], rtol=1e-6
    )
    # Sigmoids of log 1, log 2, log 5 are 1/2, 2/3, 5/6; labels 1, 0, 1: -log(1/2) - log(1/3) - log(5/6).
    many = losses.classification_loss(np.array([[1.0, 0.0, 1.0]]), logits, multi_label=True)
    np.testing.assert_allclose(many, [np.log(2) + np.log(3) + np.log(6 / 5)], rtol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.TripletLoss(margin=2.0), losses.AdversaryLoss(), losses.ClassificationLoss(multi_label=True)]
)
def test_loss_objects_survive_a_config_round_trip(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    labels = np.array([1.0, 0.0]) if isinstance(loss, losses.AdversaryLoss) else np.eye(2)
    outputs = np.array([0.3, 0.9]) if isinstance(loss, losses.AdversaryLoss) else np.array([[0.3, 0.6], [0.2, 0.1]])
    assert float(loss(labels, outputs)) == float(again(labels, outputs)) > 0


@pytest.mark.parametrize("kind", [losses.TripletLoss, losses.TripletRankingLoss])
def test_triplet_losses_refuse_a_margin_that_separates_nothing(kind):
    with pytest.raises(ValueError, match="margin must be positive, got 0"):
        kind(margin=0)


def test_triplet_ranking_loss_of_whole_triplets_by_hand():
    # Anchor (1, 0): positive at 0.25, negative at 1, margin 2: 2 - 1 + 0.25; then positive at 0, negative at 2: 0.
    triplets = np.array([[[1.0, 0.0], [0.5, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    loss = losses.TripletRankingLoss(margin=2.0)
    assert float(loss(np.zeros(2), triplets)) == pytest.approx((1.25 + 0) / 2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config() and again.margin == 2.0
    with pytest.raises(ValueError, match=r"must be \(B, 3, K\).*got \(2, 2\)"):
        loss(np.zeros(2), triplets[:, 0])


def test_a_network_learns_by_the_triplet_ranking_loss():
    members = keras.Input((3, 4))
    model = keras.Model(members, keras.layers.Dense(2, activation="sigmoid")(members))
    model.compile(keras.optimizers.Adam(0.1), losses.TripletRankingLoss(margin=1.0))
    rng = np.random.default_rng(0)
    anchors, others = np.eye(4)[rng.integers(0, 2, 64)], np.eye(4)[rng.integers(2, 4, 64)]
    triplets = np.stack([anchors, anchors, others], 1)
    before = model.evaluate(triplets, np.zeros(64), verbose=0)
    model.fit(triplets, np.zeros(64), epochs=40, verbose=0)
    assert model.evaluate(triplets, np.zeros(64), verbose=0) < 0.2 < before


def test_balance_of_bits_by_hand():
    # First bit always on: (2 - 1)^2 = 1; second on for half: 0; third 3/4 on average: (1.5 - 1)^2 = 1/4.
    codes = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.5]])
    assert float(losses.bit_balance_loss(codes)) == pytest.approx((1 + 0 + 0.25) / 3)


def test_balance_of_predictions_by_hand():
    logits = np.log([[3.0, 1.0], [1.0, 3.0]])  # one label: 3/4 and 1/4, then the other way round, so 1/2 each
    assert float(losses.balance_loss(logits, np.array([0.5, 0.5]))) == pytest.approx(0, abs=1e-5)
    divergence = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert float(losses.balance_loss(logits, np.array([0.9, 0.1]))) == pytest.approx(divergence, rel=1e-4)
    # Several labels: 3/4 and 1/2, then 1/2 and 3/4, so 5/8 each; the labels' shares need not sum to 1.
    assert float(losses.balance_loss(logits, np.array([0.625, 0.625]), True)) == pytest.approx(0, abs=1e-5)
    divergence = 5 / 8 * np.log(5 / 8 / 0.5) + 3 / 8 * np.log(3 / 8 / 0.5)
    assert float(losses.balance_loss(logits, np.array([0.625, 0.5]), True)) == pytest.approx(divergence, rel=1e-4)


def test_only_known_labels_count():
    logits = np.array([[0.0, np.log(3.0)]])
    # Several labels: log(1 + e^0) for an absent first, log 4 - log 3 for a present second; then the second alone.
    labels = np.array([[0.0, 1.0]])
    both = np.log(2) + np.log(4 / 3)
    np.testing.assert_allclose(losses.classification_loss(labels, logits, True), [both], rtol=1e-6)
    known = np.array([[0.0, 1.0]])
    np.testing.assert_allclose(losses.classification_loss(labels, logits, True, known), [np.log(4 / 3)], rtol=1e-6)
    # One label: P = 1/4, 3/4; known as a whole or not.
    for share, expected in ((1.0, np.log(4 / 3)), (0.0, 0.0)):
        got = losses.classification_loss(labels, logits, False, np.full((1, 2), share))
        np.testing.assert_allclose(got, [expected], rtol=1e-6, atol=1e-12)


def test_pseudo_labels_by_hand():
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2]]))  # softmax gives these back
    labels, known = (ops.convert_to_numpy(rows) for rows in pseudo_labels(logits, 0.8, multi_label=False))
    assert labels.tolist() == [[1, 0, 0], [1, 0, 0]] and known.tolist() == [[1, 1, 1], [0, 0, 0]]
    odds = np.log(np.array([[9.0, 1 / 9, 2.0]]))  # probabilities 0.9, 0.1, 2/3
    labels, known = (ops.convert_to_numpy(rows) for rows in pseudo_labels(odds, 0.8, multi_label=True))
    assert labels.tolist() == [[1, 0, 1]] and known.tolist() == [[1, 1, 0]]
