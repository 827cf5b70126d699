"""Pretrained trunks: by the name of an application or from a file, frozen or not, the same wherever they run."""

import dataclasses

import keras
import numpy as np
import pytest
from dshgan_tf.export.held_out import HeldOut
from dshgan_tf.export.saved_model import export_saved_model
from dshgan_tf.export.tflite import export_tflite

import dshgan_tf as dsh

SHAPE = (32, 32, 1)
ABOUT = {"class_names": ["a", "b", "c"], "dataset": "noise", "run": "test"}


def inner(encoder):
    return next(layer for layer in encoder.layers if isinstance(layer, keras.Model))


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, *SHAPE), np.uint8)
    return dsh.data.from_arrays(images, np.arange(90) % 3, queries_per_class=10, labels_per_class=4)


@pytest.fixture
def file(tmp_path):
    """A model that somebody trained: its own preprocessing within, colour images in, a grid out."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    for i in range(3):
        x = keras.layers.Conv2D(4, 3, 2, activation="relu", name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{i}")(x)
    model = keras.Model(pixels, x)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.random.default_rng(1).uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    model.save(tmp_path / "backbone.keras")
    return tmp_path / "backbone.keras"


def test_a_file_gets_the_pixels_it_was_trained_on(file, splits, tmp_path):
    backbone = keras.models.load_model(file)
    model = dsh.DSHGAN(8, 3, SHAPE, network=dsh.Network(backbone=str(file)))
    images = splits.query.images
    features = backbone(np.repeat(images, 3, axis=-1).astype(np.float32)).numpy().mean(axis=(1, 2))
    kernel, bias = model.average_encoder.get_layer("hash").get_weights()
    expected = 1 / (1 + np.exp(-(features @ kernel + bias)))
    semantic = model.predict_streams(images)["relaxed_codes"][:, : model.encoder.semantic_bits]
    np.testing.assert_allclose(semantic, expected, atol=1e-5)
    # It is saved whole: the backbone's file is no longer needed.
    model.compile()
    model.save(tmp_path / "model.keras")
    file.unlink()
    again = dsh.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(images), model.encode(images))


@pytest.mark.parametrize(("trained_layers", "moved"), [(None, 6), (2, 2), (0, 0)])
def test_frozen_layers_stay_to_the_bit(file, splits, tmp_path, trained_layers, moved):
    network = dsh.Network(backbone=str(file), trained_layers=trained_layers, width=2, generator="pixels")
    model = dsh.DSHGAN(8, 3, SHAPE, method="dsh-gan", network=network)
    model.compile()
    before = {layer.name: layer.get_weights() for layer in inner(model.encoder).layers if layer.weights}
    model.fit(dsh.data.triplets(splits, 6), steps_per_epoch=2, verbose=0)
    changed = [
        name
        for name, weights in before.items()
        if any((a != b).any() for a, b in zip(weights, inner(model.encoder).get_layer(name).get_weights(), strict=True))
    ]
    # Of a part that trains, the batch normalisations stay as they are.
    assert changed == (list(before) if moved == 6 else ["conv1", "conv2"][2 - moved :])
    for name in set(before) - set(changed):  # what encodes has them as they were, too
        for a, b in zip(before[name], inner(model.average_encoder).get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    model.save(tmp_path / "model.keras")
    again = dsh.load_model(tmp_path / "model.keras")
    assert len(again.encoder.trainable_variables) == len(model.encoder.trainable_variables)
    np.testing.assert_array_equal(again.encode(splits.query.images), model.encode(splits.query.images))


def test_a_file_is_trained_as_this_run_trains(splits, tmp_path):
    """Saved frozen, in 16 bits, with a model in it, and a layer called like one of ours."""
    pixels = keras.Input((32, 32, 1))
    x, policy = pixels, keras.dtype_policies.DTypePolicy("mixed_float16")
    for i in range(3):
        x = keras.layers.Conv2D(2, 3, 2, name=f"conv{i}", dtype=policy)(x)
    within = keras.Model(pixels, keras.layers.BatchNormalization(name="hash", dtype=policy)(x), name="within")
    outer = keras.Input((32, 32, 1))
    backbone = keras.Model(outer, keras.layers.GlobalMaxPooling2D()(within(keras.layers.Rescaling(1 / 255)(outer))))
    backbone.trainable = False
    backbone.save(tmp_path / "frozen.keras")
    network = dsh.Network(backbone=str(tmp_path / "frozen.keras"), width=2)
    model = dsh.DSHGAN(8, 3, SHAPE, network=dataclasses.replace(network, trained_layers=2))
    names = {variable.path.rsplit("/", 2)[-2] for variable in inner(model.encoder).trainable_variables}
    assert names == {"conv1", "conv2"}  # the last two with weights, of which none is a batch normalisation
    model = dsh.DSHGAN(8, 3, SHAPE, precision="mixed_bfloat16", network=network)
    assert len(inner(model.encoder).trainable_variables) == 8
    within = inner(model.encoder).get_layer("within")
    assert within.get_layer("conv0").compute_dtype == "bfloat16"
    assert inner(model.average_encoder).get_layer("within").get_layer("conv0").compute_dtype == "float32"
    # The teacher is the averaged encoder, in the training's precision.
    model.compile()
    for weight in model.average_encoder.weights:
        weight.assign(weight + 0.1)
    taught = model.teach(splits.query.images.astype(np.float32))["class_logits"]
    np.testing.assert_allclose(taught, model.predict_streams(splits.query.images)["class_logits"], rtol=0.1, atol=0.1)


def test_replicas_record_one_set_of_a_backbones_statistics(file, splits, two_devices):
    with two_devices.scope():
        model = dsh.DSHGAN(8, 3, SHAPE, method="semi-supervised", network=dsh.Network(backbone=str(file)))
        model.compile()
    model.fit(dsh.data.triplets(splits, 6), steps_per_epoch=2, verbose=0)
    for variable in [*model.encoder.weights, *model.average_encoder.weights]:
        first, second = (part.numpy() for part in two_devices.experimental_local_results(variable.value))
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


def head_by_hand(head, features):
    """Standardise, cut at 5 standard deviations, a hidden layer with LeakyReLU, the hash stream."""
    mean, variance = head.get_layer("standardise").get_weights()
    scaled = np.clip((features - mean) / np.sqrt(variance + 1e-6), -5, 5)
    (kernel, bias), (hash_kernel, hash_bias) = (head.get_layer(name).get_weights() for name in ("hidden", "hash"))
    hidden = scaled @ kernel + bias
    hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
    return 1 / (1 + np.exp(-(hidden @ hash_kernel + hash_bias)))


def test_an_application_by_name_with_weights_from_a_file(splits, tmp_path):
    keras.utils.set_random_seed(5)
    arguments = {"input_shape": (32, 32, 3), "include_top": False, "pooling": "avg"}
    theirs = keras.applications.MobileNetV2(weights=None, **arguments)
    for name in ("theirs.weights.h5", "theirs.keras"):
        theirs.save_weights(tmp_path / name) if name.endswith("h5") else theirs.save(tmp_path / name)
        model = dsh.DSHGAN(
            8, 3, SHAPE, network=dsh.Network(backbone="MobileNetV2", weights=str(tmp_path / name), trained_layers=0)
        )
        for a, b in zip(theirs.weights, inner(model.average_encoder).weights, strict=True):
            np.testing.assert_array_equal(a, b)
    images = splits.query.images[:4]
    pixels = np.repeat(images, 3, axis=-1).astype(np.float32)
    features = theirs.predict(keras.applications.mobilenet_v2.preprocess_input(pixels), verbose=0)
    head = model.average_encoder.head
    np.testing.assert_allclose(
        model.average_encoder.trunk_features().predict(images.astype(np.float32), verbose=0), features, atol=1e-4
    )
    codes = head_by_hand(head, features)
    for given in (images, features):  # pixels, and what the frozen trunk makes of them
        semantic = model.predict_streams(given)["relaxed_codes"][:, : model.encoder.semantic_bits]
        np.testing.assert_allclose(semantic, codes, atol=1e-5)
    trained = sorted(variable.path for variable in model.encoder.trainable_variables)
    assert trained == [
        f"{layer}/{part}" for layer in ("classification", "hash", "hidden") for part in ("bias", "kernel")
    ]


@pytest.mark.parametrize("backbone", ["file", "VGG16"])
def test_preprocessing_is_the_same_in_serving_and_on_the_device(file, splits, tmp_path, backbone):
    keras.utils.set_random_seed(4)
    model = dsh.DSHGAN(
        16, 3, SHAPE, gan=False, network=dsh.Network(backbone=str(file) if backbone == "file" else backbone)
    )
    held_out = HeldOut.from_splits(model, splits)
    _, served = export_saved_model(model, tmp_path / "served", held_out, ABOUT)
    on_device = export_tflite(model, tmp_path / "edge", held_out, ABOUT, ("float32",))
    for check in [*served, *on_device]:
        assert check.parity.different == 0, check.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "none.keras"}, "cannot load backbone none.keras"),
        ({"backbone": "ResNet9"}, "unknown backbone 'ResNet9'"),
        ({"backbone": "MobileNetV2", "weights": "none.h5"}, "cannot build backbone 'MobileNetV2'"),
        ({"backbone": "VGG16", "trained_layers": 99}, "13 layers with weights, got trained_layers=99"),
        ({"trained_layers": 1}, "need a pretrained backbone"),
        ({"hidden_layer": True}, "need a pretrained backbone"),
        ({"weights": "imagenet"}, "need a pretrained backbone"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dsh.DSHGAN(8, 3, SHAPE, network=change)


def test_images_of_another_size_are_resized_in_the_graph(file):
    model = dsh.DSHGAN(8, 3, (16, 16, 3), network=dsh.Network(backbone=str(file), trained_layers=0))
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.float32)
    larger = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (32, 32)))
    expected = keras.models.load_model(file).predict(larger, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(model.average_encoder.trunk_features()(images), expected, atol=1e-5)


def test_files_that_are_no_backbone_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match="has its own weights"):
        dsh.DSHGAN(8, 3, SHAPE, network=dsh.Network(backbone=str(file), weights="imagenet"))
    pixels = keras.Input((32, 32, 3))
    for name, layer in (("rows", keras.layers.Reshape((32 * 32, 3))), ("unsafe", keras.layers.Lambda(lambda x: x))):
        keras.Model(pixels, layer(pixels)).save(tmp_path / f"{name}.keras")
    with pytest.raises(ValueError, match="one row or grid of features"):
        dsh.DSHGAN(8, 3, SHAPE, network=dsh.Network(backbone=str(tmp_path / "rows.keras")))
    with pytest.raises(ValueError, match="without Lambda layers"):
        dsh.DSHGAN(8, 3, SHAPE, network=dsh.Network(backbone=str(tmp_path / "unsafe.keras")))
