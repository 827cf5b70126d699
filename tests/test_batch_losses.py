"""Against values and gradients recorded from tensorflow-addons 0.23.0; it is not needed here (see golden/)."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dshgan_tf.losses.embedding_triplets import TripletHardLoss, TripletSemiHardLoss, pairwise_distances

RECORDED = json.loads((Path(__file__).parent / "golden" / "addons.json").read_text())


def test_the_recording_is_of_addons():
    assert RECORDED["versions"] == {"tensorflow": "2.15.1", "tensorflow_addons": "0.23.0"}
    kinds = {(case["kind"], case["distance"], case["soft"]) for case in RECORDED["cases"]}
    assert len(kinds) == 9 and len(RECORDED["cases"]) == 4 * 2 * 9


@pytest.mark.parametrize(
    "case", RECORDED["cases"], ids=lambda c: f"{c['batch']}-{c['kind']}-{c['distance']}-{c['soft']}"
)
def test_values_and_gradients_equal_those_of_addons(case):
    common = {"margin": case["margin"], "distance": case["distance"]}
    loss = TripletSemiHardLoss(**common) if case["kind"] == "semihard" else TripletHardLoss(soft=case["soft"], **common)
    embeddings = tf.Variable(np.array(case["embeddings"], np.float32))
    with tf.GradientTape() as tape:
        value = loss(np.array(case["labels"]), embeddings)
    assert float(value) == pytest.approx(case["value"], rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(tape.gradient(value, embeddings), case["gradient"], rtol=1e-4, atol=1e-5)


def test_hard_loss_by_hand():
    # On a line: class 0 at 0 and 1, class 1 at 3. Anchors 0, 1, 3: farthest positives 1, 1, none (0);
    # nearest negatives 3, 2, 2. Margin 1.5: max(0, -0.5), max(0, 0.5), max(0, -0.5), mean 1/6.
    embeddings, labels = np.array([[0.0], [1.0], [3.0]], np.float32), np.array([0, 0, 1])
    assert float(TripletHardLoss(margin=1.5)(labels, embeddings)) == pytest.approx(1 / 6)
    expected = np.mean(np.log1p(np.exp([-2.0, -1.0, -2.0])))
    assert float(TripletHardLoss(soft=True)(labels, embeddings)) == pytest.approx(expected)


def test_semihard_loss_by_hand():
    # Class 0 at 0 and 2, class 1 at 1 and 5. Pairs: (0, 2): d 2, farther negatives {5}: 2 - 5 + 4 = 1;
    # (2, 0): d 2, farther {3}: 2 - 3 + 4 = 3; (1, 5): d 4, none farther, farthest 1: 4 - 1 + 4 = 7;
    # (5, 1): d 4, farther {5}: 4 - 5 + 4 = 3. Margin 4, mean 14 / 4.
    embeddings, labels = np.array([[0.0], [2.0], [1.0], [5.0]], np.float32), np.array([0, 0, 1, 1])
    assert float(TripletSemiHardLoss(margin=4.0)(labels, embeddings)) == pytest.approx(3.5)


def test_a_batch_without_pairs_has_no_loss():
    embeddings = tf.Variable(np.eye(3, dtype=np.float32))
    with tf.GradientTape() as tape:
        value = TripletSemiHardLoss()(np.arange(3), embeddings)
    assert float(value) == 0 and not tape.gradient(value, embeddings).numpy().any()


def test_distances_by_hand():
    points = np.array([[3.0, 0.0], [0.0, 4.0]], np.float32)
    for distance, expected in (("L2", 5), ("squared-L2", 25), ("angular", 1)):
        np.testing.assert_allclose(pairwise_distances(points, distance), [[0, expected], [expected, 0]], atol=1e-6)


@pytest.mark.parametrize("loss", [TripletSemiHardLoss(0.5, "angular"), TripletHardLoss(0.5, True, "squared-L2")])
def test_losses_survive_their_config(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("kind", [TripletSemiHardLoss, TripletHardLoss])
def test_bad_arguments_are_refused(kind):
    with pytest.raises(ValueError, match="margin must be positive, got 0"):
        kind(margin=0)
    with pytest.raises(ValueError, match="distance must be one of L2, squared-L2, angular, got 'cosine'"):
        kind(distance="cosine")
