"""A second engine reads the served model: OpenVINO, which shares no kernel with TensorFlow."""

import numpy as np
import openvino
import pytest
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.commands.main import main

# On processors that have it, OpenVINO would compute in bfloat16.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("served")
    assert main(["export", str(trained), "--format", "saved_model", "--output", str(output)]) == 0
    return output / "1"


def answers(model, images):
    compiled = openvino.Core().compile_model(model, "CPU", EXACT)
    return {port.get_any_name(): values for port, values in compiled(images.astype(np.float32)).items()}


def test_serving_default_gives_equal_codes(served, trained):
    splits = dsh.data.load("digits")
    images = np.concatenate([splits.query.images, splits.database.images])
    model = dsh.load_model(trained / "model.keras")
    streams = model.predict_streams(images)
    found = answers(openvino.Core().read_model(served), images)
    np.testing.assert_allclose(found["relaxed_codes"], streams["relaxed_codes"], atol=1e-5)
    decided = np.abs(streams["relaxed_codes"] - 0.5) > 1e-5
    bits = dsh.codes.unpack(found["codes"], 12), dsh.codes.unpack(model.encode(images), 12)
    assert len(images) == 1797 and decided.mean() > 0.999
    np.testing.assert_array_equal(bits[0][decided], bits[1][decided])


def test_classify_gives_equal_classes(served, trained):
    images = dsh.data.load("digits").query.images
    loaded = tf.saved_model.load(str(served))  # its variables live as long as it does
    signature = loaded.signatures["classify"]
    expected = signature(images=tf.constant(images, tf.float32))
    found = answers(openvino.convert_model(signature), images)
    np.testing.assert_array_equal(found["class_id"], expected["class_id"])
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-5)


def test_encode_bytes_is_beyond_it(served):
    """It has no decoder of JPEG and PNG files. Should this fail one day, the documentation can promise more."""
    loaded = tf.saved_model.load(str(served))
    with pytest.raises(Exception, match="Model wasn't fully converted"):
        openvino.convert_model(loaded.signatures["encode_bytes"])
