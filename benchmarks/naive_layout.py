"""The naive layout for images of 32 x 32 x 3: a VGG-like trunk, and a generator that upsamples before it convolves.

    python benchmarks/naive_layout.py                seconds of a step of the published objective, XLA without oneDNN
    python benchmarks/naive_layout.py cifar10_paper --labels-per-class 50 --steps 1000 --workdir DIR     its MAP

The second is `dshgan train` with these networks. Its workdir does not say so, and nothing but this script can read the
model back: keep it apart from others.
"""

import os
import statistics
import sys
import time

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1" if sys.argv[1:] else "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from keras import layers

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.models import generator, hash_encoder, trunk

BATCH, SHAPE, STEPS = 64, (32, 32, 3), 8


def vgg_trunk(images, width, norm):
    """Two convolutions of full width at every resolution, then pooling."""
    x = layers.Rescaling(1 / 127.5, -1.0)(images)
    for stage, filters in enumerate((32, 64, 128)):
        for i in range(2):
            x = layers.LeakyReLU(negative_slope=0.1)(trunk.convolution(x, filters, norm, f"naive{stage}_{i}"))
        x = layers.MaxPooling2D(name=f"naive{stage}_pool")(x)
    return layers.Flatten(name="features")(x), x


def upsampled_pixels(noise, labels, image_shape, network):
    """Upsample, then convolve at the finer resolution."""
    if tuple(image_shape) != SHAPE:
        raise ValueError(f"the naive layout makes images of {SHAPE}, got {image_shape}; take a preset of CIFAR-10")
    x = layers.Reshape((4, 4, 128))(layers.Dense(2048)(layers.Concatenate()([noise, labels])))
    for level, filters in enumerate((128, 64, 32)):
        x = layers.UpSampling2D(name=f"up{level}")(x)
        x = layers.LeakyReLU(negative_slope=0.1)(trunk.convolution(x, filters, network.norm, f"naive{level}"))
    image = layers.Conv2D(3, 3, padding="same", activation="tanh", dtype="float32", name="image")(x)
    return layers.Rescaling(127.5, 127.5, dtype="float32", name="pixels")(image)


def seconds_of_a_step():
    """Median seconds of a step of the published objective."""
    labels = np.arange(6000) % 10
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), *SHAPE), np.uint8)
    splits = dsh.data.from_arrays(pixels, labels, labels_per_class=50)
    model = dsh.DSHGAN(num_bits=48, num_classes=10, image_shape=SHAPE, network=dsh.Network(adversary="own"))
    model.compile(objective=dsh.Objective.paper())
    batch = next(iter(dsh.data.triplets(splits, BATCH)))
    step = tf.function(model.train_step, jit_compile=True)
    taken = []
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        step(batch)["encoder_loss"].numpy()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    hash_encoder.small_trunk, generator._pixels = vgg_trunk, upsampled_pixels
    if sys.argv[1:]:
        sys.exit(main(["train", *sys.argv[1:]]))
    print(seconds_of_a_step())
