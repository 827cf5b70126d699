"""Pixels in, everywhere: what a Keras user types first gives the codes that everything else gives."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from dshgan_tf.export.held_out import HeldOut
from dshgan_tf.export.tflite import export_tflite
from PIL import Image

import dshgan_tf as dsh


def codes_of(streams):
    return dsh.codes.pack(dsh.codes.binarise(np.asarray(streams["relaxed_codes"])))


@pytest.fixture(scope="module")
def whole(digits):
    """An encoder of random weights whose codes are spread: every bit is on for half of the images."""
    keras.utils.set_random_seed(5)
    model = dsh.DSHGAN(12, 10, (8, 8, 1), method="dsh-gan", network=dsh.Network(width=8))
    model.compile()
    relaxed = model.predict_streams(digits.query.images)["relaxed_codes"].astype(np.float64)
    bias = model.average_encoder.get_layer("hash").bias
    semantic = relaxed[:, : bias.shape[0]]
    bias.assign(bias - np.median(np.log(semantic / (1 - semantic)), axis=0))
    return model


def test_every_way_in_gives_the_same_codes(whole, digits, tmp_path):
    images = digits.query.images
    codes = whole.encode(images)
    assert len(np.unique(codes, axis=0)) > 20
    np.testing.assert_array_equal(codes_of(whole.predict(images, verbose=0)), codes)
    np.testing.assert_array_equal(codes_of(whole.predict(images.astype(np.float32), verbose=0)), codes)
    np.testing.assert_array_equal(codes_of(whole(images)), codes)
    np.testing.assert_array_equal(codes_of(whole(tf.constant(images, tf.float32))), codes)
    whole.export(tmp_path / "served")
    signatures = tf.saved_model.load(str(tmp_path / "served")).signatures
    served = signatures["serving_default"](images=tf.constant(images, tf.float32))
    np.testing.assert_array_equal(served["codes"], codes)
    assert set(signatures) == {"serving_default", "encode_bytes", "classify"}
    held_out = HeldOut.from_splits(whole, digits)
    (check,) = export_tflite(whole, tmp_path / "device", held_out, {}, ("float32",))
    assert (check.parity.different, check.parity.images) == (0, 200)


def test_triplets_are_pixels_that_the_model_takes(whole, digits):
    batch = next(iter(dsh.data.triplets(digits, 16)))
    np.testing.assert_array_equal(codes_of(whole(batch)), whole.encode(batch["image"]))


def test_the_first_layer_centres_the_pixels(whole):
    for encoder in (whole.encoder, whole.average_encoder):
        pixels = np.array([0.0, 127.5, 255.0], np.float32).reshape(3, 1, 1, 1)
        np.testing.assert_allclose(np.ravel(encoder.get_layer("scale")(pixels)), [-1, 0, 1], atol=1e-6)


def test_the_generator_makes_pixels(whole):
    noise = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    made = np.asarray(whole.generator([noise, np.eye(10, dtype=np.float32)[:8]], training=False))
    assert made.min() >= 0 and made.max() <= 255 and made.std() > 1
    # The middle of tanh is the middle of the pixels.
    assert abs(np.median(made) - 127.5) < 30


def test_encode_takes_what_people_have(whole, digits, tmp_path):
    images = digits.query.images[:7]
    codes = whole.encode(images)
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    dataset = tf.data.Dataset.from_tensor_slices(images)
    labelled = tf.data.Dataset.from_tensor_slices((images, digits.query.labels[:7])).batch(3)
    named = dataset.map(lambda image: {"image": image})
    forms = (tf.constant(images), list(images), paths, [str(p) for p in paths], np.array(paths), iter(paths))
    for given in (*forms, dataset, labelled, named):
        np.testing.assert_array_equal(whole.encode(given, batch_size=3), codes)
    np.testing.assert_array_equal(whole.encode(paths[0]), codes[:1])
    np.testing.assert_array_equal(whole.encode(str(paths[0])), codes[:1])


def test_advice_fits_the_mistake(whole, digits, tmp_path):
    images = digits.query.images[:4]
    for bad, advice in (
        (images[0], r"one image: pass images\[None\]"),
        (images[..., 0], r"grey images without their last axis: pass images\[..., None\]"),
        (images[0, ..., 0], r"one grey image without its other axes: pass images\[None, ..., None\]"),
        (images.repeat(3, axis=-1), r"in colour: pass images.mean\(axis=-1, keepdims=True\)"),
        (images.transpose(0, 3, 1, 2), r"channels first: pass np.moveaxis\(images, 1, -1\)"),
        (images.repeat(2, axis=1), "resize them"),
        (images / np.float32(127.5) - 1, r"pass \(images \+ 1\) \* 127.5"),
        (tf.data.Dataset.from_tensors({"picture": images}), "needs the key 'image', got picture"),
        ([images[0], images[1, :4]], "images of several sizes; resize them"),
        (tmp_path / "none.png", "none.png"),
    ):
        with pytest.raises(dsh.InputError, match=advice):
            whole.encode(bad)


def new_model(**options):
    network = dsh.Network(width=4, noise_dim=4)
    return dsh.DSHGAN(
        **{"method": "dsh-gan"} | options, num_bits=8, num_classes=10, image_shape=(8, 8, 1), network=network
    )


def test_compile_as_in_keras():
    model = new_model()
    model.compile("adam")
    assert type(model.encoder_optimizer) is type(model.generator_optimizer) is keras.optimizers.Adam
    assert model.encoder_optimizer is not model.generator_optimizer
    model.compile(optimizer=keras.optimizers.SGD(0.25))
    for optimizer in (model.encoder_optimizer, model.generator_optimizer):
        assert type(optimizer) is keras.optimizers.SGD and float(optimizer.learning_rate) == 0.25
    model.compile(encoder_optimizer="adam", generator_optimizer=keras.optimizers.SGD(0.5))
    assert type(model.encoder_optimizer) is keras.optimizers.Adam
    assert float(model.generator_optimizer.learning_rate) == 0.5
    # The recipe's own, where nothing is said.
    model.compile(encoder_optimizer="adam")
    assert model.generator_optimizer.beta_1 == 0.5


def test_compile_refuses_in_a_line():
    model, one = new_model(), keras.optimizers.SGD()
    for arguments, message in (
        ({"optimizer": "adamant"}, "^optimizer must be the name of a Keras optimizer.*'adamant'"),
        ({"encoder_optimizer": 3}, "^encoder_optimizer must be the name of a Keras optimizer.* got 3"),
        ({"optimizer": one, "generator_optimizer": one}, "one optimizer object"),
        ({"encoder_optimizer": one, "generator_optimizer": one}, "one optimizer object"),
        ({"loss": "mse"}, "compile got loss: losses and metrics are the method's own"),
        ({"metrics": ["accuracy"]}, "compile got metrics"),
    ):
        with pytest.raises(dsh.InputError, match=message):
            model.compile(**arguments)


def test_fit_on_arrays_trains_and_minus_one_is_unlabelled(digits):
    images = np.concatenate([digits.labeled.images, digits.unlabeled.images[:60]])
    labels = np.concatenate([digits.labeled.labels, np.full(60, -1)])
    model = new_model()
    model.compile("adam")
    before = model.encoder.get_layer("hash").kernel.numpy()
    history = model.fit(images, labels, batch_size=20, epochs=2, verbose=0).history
    assert model.steps_done == 2 * 3  # 60 unlabelled images by 20 a step
    assert len(history["encoder_loss"]) == 2 and "pseudo_label_loss" in history
    assert np.abs(model.encoder.get_layer("hash").kernel.numpy() - before).max() > 0


def test_fit_on_several_labels(digits):
    rows = np.eye(10, dtype=np.uint8)[digits.labeled.labels]
    rows[:, 0] = 1
    rows[:3] = 0  # unlabelled
    model = new_model(multi_label=True)
    model.compile()
    model.fit(digits.labeled.images, rows, batch_size=3, epochs=1, verbose=0)
    assert model.steps_done == 1


def test_fit_says_what_to_pass(digits):
    model = new_model()
    model.compile()
    images, labels = digits.labeled.images, digits.labeled.labels
    for arguments, message in (
        ((images,), r"fit takes images and labels \(-1: unlabelled\), fit\(x, y\)"),
        ((images / np.float32(255), labels), "float images lie within 0..1; multiply them by 255"),
        ((images, labels, 0), "batch_size must be at least 1, got 0"),
        ((images, labels[:5]), "5 labels for 40 images"),
        ((images, labels + 5), "label 14 is out of range"),
        ((images, np.zeros_like(labels)), "class '1' has no labelled image"),
        ((images, np.eye(10)[labels]), r"multi_label=False and takes class ids \(N,\)"),
        ((images[..., 0], labels), "grey images without their last axis"),
        ((dsh.data.triplets(digits, 8), labels), "a dataset has labels and batches of its own"),
        ((digits,), "got Splits alone"),
    ):
        with pytest.raises(dsh.InputError, match=message):
            model.fit(*arguments, verbose=0)
    with pytest.raises(dsh.InputError, match="does not take validation_data.*RetrievalEvaluation"):
        model.fit(images, labels, validation_data=(images, labels))


def test_export_refuses_in_a_line(whole, tmp_path):
    (tmp_path / "there").mkdir()
    for arguments, message in (
        ({"filepath": tmp_path / "there"}, "there exists; choose a new folder"),
        ({"filepath": tmp_path / "a", "format": "onnx"}, "'onnx'; dshgan export writes the LiteRT files"),
        ({"filepath": tmp_path / "b", "class_names": ["one"]}, "1 class_names for 10 classes"),
    ):
        with pytest.raises(dsh.InputError, match=message):
            whole.export(**arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("imports", ["import dshgan_tf, keras", "import keras, dshgan_tf"])
def test_keras_loads_the_file_after_a_bare_import(whole, digits, tmp_path, imports):
    whole.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", digits.query.images[:9])
    code = f"{imports}, numpy as np; model = keras.saving.load_model('model.keras')\n"
    code += "np.save('codes.npy', model.encode(np.load('images.npy')))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), whole.encode(digits.query.images[:9]))


def test_a_bare_import_is_light():
    code = "import sys, dshgan_tf; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
