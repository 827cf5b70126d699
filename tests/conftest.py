import dataclasses
import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two processes test side by side: more threads than one of each would wait for the other's.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import pytest
import tensorflow as tf

import dshgan_tf as dsh

# Four CPU devices: tests of distribution take two of them, all others run on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


# Files that take minutes come first, so that two processes end at about the same time.
SLOW_FILES = (
    "test_survival.py",
    "test_export.py",
    "test_training.py",
    "test_workers.py",
    "test_encode_all.py",
    "test_model.py",
    "test_readme.py",
    "test_tune.py",
    "test_server_limits.py",
    "test_sources.py",
    "test_backbones.py",
    "test_tutorials.py",
    "test_terminal.py",
    "test_image_index.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: SLOW_FILES.index(item.path.name) if item.path.name in SLOW_FILES else len(SLOW_FILES))


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="session")
def digits():
    return dsh.data.load("digits", labels_per_class=5, seed=0)


@pytest.fixture
def model(digits):
    model = dsh.DSHGAN(
        method="dsh-gan",
        num_bits=12,
        num_classes=10,
        image_shape=digits.image_shape,
        network=dsh.Network(width=4, noise_dim=8),
    )
    model.compile()
    return model


@pytest.fixture
def batch(digits):
    return next(iter(dsh.data.triplets(digits, batch_size=16, seed=3)))


@pytest.fixture(scope="session")
def two_devices():
    """One strategy for all tests: a second on the same devices would use the collective keys of the first again."""
    return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")[:2]])


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A workdir whose model has learnt something: its codes are decided, so int8 keeps them."""
    from dshgan_tf.training.presets import PRESETS
    from dshgan_tf.training.runner import train_and_evaluate

    config = dataclasses.replace(
        PRESETS["digits"],
        method="supervised",
        labels_per_class=50,
        num_bits=12,
        steps=300,
        steps_per_epoch=150,
        network=dsh.Network(width=16),
    )
    folder = tmp_path_factory.mktemp("trained")
    train_and_evaluate(config, folder, verbose=0)
    return folder


@pytest.fixture(scope="session")
def trunk(tmp_path_factory):
    """A trunk that somebody trained: random filters, which tell digits apart well enough."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(64, 3, activation="relu", kernel_initializer="he_normal")(x)
    x = keras.layers.AveragePooling2D(2)(x)
    path = tmp_path_factory.mktemp("trunk") / "trunk.keras"
    keras.Model(pixels, keras.layers.Flatten()(x)).save(path)
    return path
