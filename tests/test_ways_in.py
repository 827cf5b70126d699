"""One picture in many forms gives one code by every way in: Python, command line, SavedModel, and the device's kit."""

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

SHAPE = (24, 24, 3)
TURNS = Image.Transpose
STORED = {  # by a camera that was held so: the inverse of what a viewer does
    2: TURNS.FLIP_LEFT_RIGHT,
    3: TURNS.ROTATE_180,
    4: TURNS.FLIP_TOP_BOTTOM,
    5: TURNS.TRANSPOSE,
    6: TURNS.ROTATE_90,
    7: TURNS.TRANSVERSE,
    8: TURNS.ROTATE_270,
}


def scene(height, width, seed=0):
    """Broad waves of colour."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [127 + 110 * np.sin(4 * (c + 1) * x + seed) * np.cos(5 * y * (c + 1)) for c in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    """An encoder of random weights, every bit on for half of some pictures."""
    keras.utils.set_random_seed(0)
    model = dsh.DSHGAN(
        num_bits=24, num_classes=2, image_shape=SHAPE, gan=False, network=dsh.Network(width=8, ground=40)
    )
    model.compile()
    relaxed = model.predict_streams(pictures())["relaxed_codes"].astype(np.float64)
    bias = model.average_encoder.get_layer("hash").bias
    bias.assign(bias - np.median(np.log(relaxed / (1 - relaxed)), axis=0))
    return model


def pictures():
    return np.stack([scene(24, 24, seed) for seed in range(80)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, upright = tmp_path_factory.mktemp("forms"), Image.fromarray(scene(120, 180))
    options = {"quality": 95, "subsampling": 0}
    upright.save(folder / "1.jpg", **options)
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(turn).save(folder / f"{orientation}.jpg", exif=exif, **options)
    upright.save(folder / "plain.png")
    upright.convert("RGBA").save(folder / "alpha.png")
    upright.save(folder / "progressive.jpg", progressive=True, **options)
    Image.fromarray(scene(2100, 3150)).save(folder / "large.jpg", **options)
    glass, opaque = np.dstack([scene(120, 180), np.full((120, 180), 255, np.uint8)]), scene(120, 180)
    glass[:, :90], opaque[:, :90] = (255, 255, 255, 0), 40
    Image.fromarray(glass).save(folder / "glass.png")
    Image.fromarray(opaque).save(folder / "glass by hand.png")
    upright.convert("CMYK").save(folder / "cmyk.jpg", **options)
    upright.convert("L").save(folder / "grey.png")
    upright.convert("L").save(folder / "grey.jpg", **options)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def codes(model, files, tmp_path_factory):
    """Way in -> file -> code."""
    folder = tmp_path_factory.mktemp("exports")
    model.export(folder / "served")
    splits = dsh.data.from_arrays(pictures(), np.arange(80) % 2, queries_per_class=20, labels_per_class=10)
    export_tflite(model, folder / "kit", HeldOut.from_splits(model, splits), {}, ("float32",))
    served = tf.saved_model.load(str(folder / "served")).signatures["encode_bytes"]
    answers = served(image_bytes=tf.constant([path.read_bytes() for path in files]))["codes"].numpy()
    # As on a device: the library cannot be imported, and only the files of the kit are there.
    device = (
        "import sys; sys.modules['dshgan_tf'] = None; sys.path.insert(0, sys.argv[1]); import hash_images; "
        "sys.exit(hash_images.main([sys.argv[1] + '/encoder_float32.tflite', 'hash', *sys.argv[2:]]))"
    )
    command = [sys.executable, "-c", device, str(folder / "kit"), *map(str, files)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        "Python": dict(zip(files, model.encode(files), strict=True)),
        "SavedModel": dict(zip(files, answers, strict=True)),
        "device": dict(zip(files, [np.frombuffer(bytes.fromhex(line[:6]), np.uint8) for line in printed], strict=True)),
    }


@pytest.mark.parametrize("way", ["SavedModel", "device"])
def test_all_ways_in_give_the_code_of_python(codes, way):
    for path, code in codes["Python"].items():
        np.testing.assert_array_equal(codes[way][path], code, err_msg=path.name)


def test_a_picture_in_colour_has_one_code_in_all_forms(codes):
    for way, found in codes.items():
        (expected,) = (code for path, code in found.items() if path.name == "plain.png")
        for path, code in found.items():
            if not path.name.startswith(("grey", "glass")):
                np.testing.assert_array_equal(code, expected, err_msg=f"{way}, {path.name}")


def test_codes_tell_pictures_apart(model, codes):
    assert len(np.unique(model.encode(pictures()), axis=0)) > 60
    grey = {path.name: code for path, code in codes["Python"].items()}
    np.testing.assert_array_equal(grey["glass.png"], grey["glass by hand.png"])  # over the network's ground, 40 of 255
    assert (grey["glass.png"] != grey["plain.png"]).any()
    np.testing.assert_array_equal(grey["grey.png"], grey["grey.jpg"])
    assert (grey["grey.png"] != grey["plain.png"]).any()
