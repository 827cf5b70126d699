"""Bits that tell single images apart: what they are learnt from, when, and what they change."""

import dataclasses

import keras
import numpy as np
import pytest
from dshgan_tf.training.unseen_classes import map_by_kind

import dshgan_tf as dsh
from dshgan_tf.data.splits import Part
from dshgan_tf.models.instance_bits import learn_projection
from dshgan_tf.models.training_batches import some_images


def test_bits_of_a_projection_are_balanced_and_follow_the_largest_directions():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 6)) * [9, 7, 1e-3, 1e-3, 1e-3, 1e-3] + 5
    weights, biases = learn_projection(rows.astype(np.float32), 2)
    logits = rows @ weights + biases
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(logits.std(axis=0), 2, rtol=1e-3)
    # Two bits of two directions: signs of these, turned, and nothing of the other four.
    assert np.abs(weights[2:]).max() < 1e-2 * np.abs(weights[:2]).max()
    assert abs(np.corrcoef(logits.T)[0, 1]) < 0.5


@pytest.mark.parametrize(("images", "features"), [(4, 40), (40, 4)])
def test_bits_that_no_component_is_left_for_are_random_projections(images, features):
    rows = np.random.default_rng(1).standard_normal((images, features)).astype(np.float32)
    weights, biases = learn_projection(rows, 10)
    assert weights.shape == (features, 10) and np.isfinite(weights).all()
    bits = rows @ weights + biases > 0
    assert all(0 < column.sum() < images for column in bits.T)  # every bit tells some images from others


def test_equal_images_are_hashed_all_the_same():
    weights, biases = learn_projection(np.ones((5, 3), np.float32), 4)
    assert np.isfinite(weights).all() and np.isfinite(biases).all()


@pytest.mark.parametrize(
    ("num_bits", "num_classes", "channels", "multi_label", "network", "expected"),
    [
        (32, 10, 1, False, dsh.Network(), 20),  # 12 of 32 tell the classes
        (64, 10, 1, False, dsh.Network(), 52),  # more bits all tell single images apart
        (48, 200, 1, False, dsh.Network(), 32),  # two hundred classes need 16
        (48, 6, 3, False, dsh.Network(backbone="MobileNetV2", trained_layers=0), 8),  # five sixths of 48 are 40
        (64, 10, 3, False, dsh.Network(backbone="MobileNetV2"), 10),  # 53.3 rounded up are 54
        (48, 10, 3, False, dsh.Network(), 8),  # five sixths of 48, of colour images
        (12, 10, 1, False, dsh.Network(), 4),  # ten classes need 8
        (6, 10, 1, False, dsh.Network(), 0),
        (32, 10, 1, True, dsh.Network(), 0),
        (32, 10, 1, False, dsh.Network(adversary="own"), 0),
        (32, 10, 1, True, dsh.Network(instance_bits=5), 5),
    ],
)
def test_how_many_bits_tell_single_images_apart(num_bits, num_classes, channels, multi_label, network, expected):
    assert network.instance_bits_for(num_bits, num_classes, channels, multi_label) == expected


@pytest.mark.parametrize(("channels", "semantic"), [(1, 12), (3, 40)])
def test_an_encoder_of_colour_images_has_more_semantic_bits(channels, semantic):
    encoder = dsh.HashEncoder(48, 10, (8, 8, channels), dsh.Network(width=4))
    assert (encoder.semantic_bits, encoder.instance_bits) == (semantic, 48 - semantic)


def test_bits_must_be_left_for_the_classes():
    with pytest.raises(ValueError, match="instance_bits=8 leaves no bit of 8 for the classes; take fewer"):
        dsh.HashEncoder(8, 3, (8, 8, 1), dsh.Network(width=4, instance_bits=8))


def test_the_baseline_without_unlabelled_images_has_none():
    sizes = {"num_bits": 32, "num_classes": 10, "image_shape": (8, 8, 1)}
    baseline = dsh.DSHGAN(**sizes, gan=False, network=dsh.Network(width=4))
    assert baseline.encoder.semantic_bits == 32 and baseline.encoder.instance_bits == 0
    assert dsh.DSHGAN(**sizes, network=dsh.Network(width=4)).encoder.semantic_bits == 12


@pytest.fixture(scope="module")
def fitted(digits):
    keras.utils.set_random_seed(0)
    model = dsh.DSHGAN(num_bits=24, num_classes=10, image_shape=(8, 8, 1), network=dsh.Network(width=4))
    model.compile()
    batches = dsh.data.triplets(digits, 64)
    before = model.predict_streams(digits.query.images)["relaxed_codes"]
    model.fit(batches, epochs=1, steps_per_epoch=3, verbose=0)
    return model, batches, before


def test_fit_learns_them_when_it_has_trained(digits, fitted):
    model, batches, before = fitted
    assert (before[:, 9:] == 0.5).all()  # bits that are 0, since nothing is known yet
    rows = keras.Model(
        model.average_encoder.inputs[0], model.average_encoder.get_layer("instance_rows").output
    ).predict(some_images(batches).astype(np.float32), verbose=0)
    weights, biases = learn_projection(rows, 15)
    layer = model.average_encoder.get_layer("instance")
    np.testing.assert_allclose(layer.kernel, weights, atol=1e-4)
    np.testing.assert_allclose(layer.bias, biases, atol=1e-3)
    after = model.predict_streams(digits.query.images)["relaxed_codes"]
    assert ((0.2 < (after[:, 9:] > 0.5).mean(axis=0)) & ((after[:, 9:] > 0.5).mean(axis=0) < 0.8)).all()


def test_training_never_sees_them(digits, fitted):
    model, _, _ = fitted
    batch = next(iter(dsh.data.triplets(digits, 8)))
    relaxed_codes = model.encoder.streams(batch["image"])["relaxed_codes"]
    assert relaxed_codes.shape == (8, 9)
    np.testing.assert_array_equal(relaxed_codes, model.encoder(batch["image"])["relaxed_codes"][:, :9])
    assert not any("instance" in variable.path for variable in model.encoder.trainable_variables)


def test_a_saved_model_keeps_them(digits, fitted, tmp_path):
    model, _, _ = fitted
    model.save(tmp_path / "model.keras")
    again = dsh.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(digits.query.images), model.encode(digits.query.images))
    assert again.encoder.instance_bits == 15


def test_validation_is_by_the_semantic_bits(fitted):
    splits = dsh.data.load("digits", labels_per_class=5)
    callback = dsh.callbacks.RetrievalEvaluation(splits)
    callback.set_model(fitted[0])
    callback.on_epoch_end(0, logs := {})
    layer = fitted[0].average_encoder.get_layer("instance")
    learnt = layer.get_weights()
    layer.set_weights([np.zeros_like(values) for values in learnt])
    callback.on_epoch_end(0, again := {})
    layer.set_weights(learnt)
    assert logs == again


def test_they_are_learnt_from_labelled_and_unlabelled_images_drawn_always_alike(digits):
    drawn = digits.some_images()
    np.testing.assert_array_equal(drawn, digits.some_images())
    both = np.concatenate([digits.labeled.images, digits.unlabeled.images])
    assert len(drawn) == len(both) and drawn.sum() == both.sum()  # fewer than 4,000: all of them
    images = np.arange(9000, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 8, 8, 1), np.uint8)
    many = dsh.data.from_arrays(images, np.arange(9000) % 3, labels_per_class=10).some_images()
    assert len(many) == 4000


def test_a_dataset_made_of_another_gives_an_epoch(digits):
    plain = dsh.data.triplets(digits, 64).take(2)
    assert some_images(plain).shape == (2 * 2 * 64, 8, 8, 1)


def test_queries_of_unseen_classes_are_counted_apart():
    splits = dsh.data.load("digits", protocol="digits-unseen", seed=1)
    asked = {}

    def rank(queries, images):
        kinds = (splits.query.labels[queries] >= 7, splits.database.labels[images] >= 7)
        asked[len(asked)] = [len(queries), len(images), kinds[0].mean(), kinds[1].mean()]
        return float(len(asked))

    assert map_by_kind(splits, rank) == {"map_seen": 1.0, "map_unseen": 2.0, "map_among_unseen": 3.0}
    unseen = int((splits.database.labels >= 7).sum())
    everything = [1597, unseen / 1597]
    assert asked[0] == [140, everything[0], 0.0, everything[1]] and asked[1] == [60, everything[0], 1.0, everything[1]]
    assert asked[2] == [60, unseen, 1.0, 1.0]
    asked_for = np.flatnonzero(splits.query.labels < 7)  # none of an unseen class
    part = Part(*(getattr(splits.query, name)[asked_for] for name in ("images", "labels", "ids")))
    splits = dataclasses.replace(splits, query=part)
    assert list(map_by_kind(splits, rank)) == ["map_seen"]
    assert map_by_kind(dsh.data.load("digits"), rank) == {}
