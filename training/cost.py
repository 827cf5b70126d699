"""What a run computes: operations of the networks and of a training step, counted by TensorFlow."""

from __future__ import annotations

import logging
import time

import keras
import numpy as np
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.data import Splits
from dshgan_tf.data.splits import PARTS

SAMPLE = 16  # images on which the speed of a trunk is measured


def count_flops(network: keras.Model) -> int:
    """Count the floating point operations of one image through a network, forward.

    Args:
        network: with inputs of known shape.

    Returns:
        Operations, a multiplication and an addition being two.
    """
    specs = [tf.TensorSpec((1, *given.shape[1:]), given.dtype) for given in network.inputs]
    graph = (
        tf.function(lambda *inputs: network(inputs[0] if len(inputs) == 1 else list(inputs), training=False))
        .get_concrete_function(*specs)
        .graph
    )
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # its profiler warns of its own deprecated parts
    try:
        return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
    finally:
        logger.setLevel(level)


def count_step_flops(model: dsh.DSHGAN, batch_size: int) -> int:
    """Estimate a training step: forward and backward is three times forward, to the images only twice.

    Args:
        model: compiled.
        batch_size: labelled images a step.

    Returns:
        Operations.
    """
    encoder = count_flops(model.encoder.head if model.trains_on_features else model.encoder)
    trained = batch_size * (2 if model.uses_unlabeled else 1)
    taught = batch_size if model.uses_unlabeled and model.objective.pseudo_label_weight else 0
    synthetic = 2 * -(-batch_size // model.objective.anchor_stride) if model.generator is not None else 0
    generator = count_flops(model.generator) if synthetic else 0
    for_encoder = 3 * encoder * (trained + synthetic) + encoder * taught + generator * synthetic
    for_generator = (2 * encoder + 3 * generator) * synthetic
    return model.objective.encoder_steps * for_encoder + for_generator


def describe(model: dsh.DSHGAN, batch_size: int) -> str:
    """Say in a line what a run computes.

    Args:
        model: compiled.
        batch_size: labelled images a step.
    """
    parts = [f"encoder {count_flops(model.encoder) / 1e6:.1f} MFLOP an image"]
    if model.generator is not None:
        parts.append(f"generator {count_flops(model.generator) / 1e6:.1f}")
    parts.append(f"a step of {batch_size} about {count_step_flops(model, batch_size) / 1e9:.1f} GFLOP")
    return ", ".join(parts)


def describe_features(model: dsh.DSHGAN, splits: Splits) -> str:
    """Say in a line what the features of a frozen trunk cost, by its speed on a few images.

    Args:
        model: that trains on features.
        splits: of pixels.
    """
    encoder = model.average_encoder
    trunk = tf.function(encoder.trunk_features())
    images = tf.constant(np.asarray(splits.database.images[:SAMPLE]), keras.config.floatx())
    trunk(images)  # the first call traces
    start = time.perf_counter()
    trunk(images)
    rate = len(images) / (time.perf_counter() - start)
    count = len(np.unique(np.concatenate([getattr(splits, part).ids for part in PARTS])))
    seconds, megabytes = count / rate, 4 * count * encoder.num_features / 1e6
    takes = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return (
        f"features: {count:,} images, about {rate:.0f} a second; they take at most {takes}, once, "
        f"and {megabytes:.0f} MB on disk (dshgan cache list)"
    )
