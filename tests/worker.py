"""A process of `test_workers.py`: trains on so many devices, or as `TF_CONFIG` says, and saves what came out."""

import os
import sys

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

output, devices = sys.argv[1], int(sys.argv[2])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * devices
)
if "TF_CONFIG" in os.environ:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
elif devices > 1:
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])
else:
    strategy = tf.distribute.get_strategy()

import keras
import numpy as np

import dshgan_tf as dsh

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
keras.utils.set_random_seed(3)
splits = dsh.data.load("digits", labels_per_class=5, seed=0)
with strategy.scope():
    model = dsh.DSHGAN(
        method="dsh-gan",
        num_bits=6,
        num_classes=10,
        image_shape=(8, 8, 1),
        network=dsh.Network(width=3, norm="sync_batch", noise_dim=4),
    )
    sgd = [keras.optimizers.SGD(0.01) for _ in range(2)]
    model.compile(
        encoder_optimizer=sgd[0],
        generator_optimizer=sgd[1],
        objective=dsh.Objective(ramp=0.0, pseudo_label_threshold=0.01),
    )
history = model.fit(dsh.data.triplets(splits, 16, seed=1), epochs=1, steps_per_epoch=12, verbose=0).history
values = {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.variables}
np.savez(output, **{f"log_{name}": value[0] for name, value in history.items()}, **values)
