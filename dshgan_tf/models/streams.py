"""The three streams, and what lies between them and the features of a frozen trunk."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import layers, ops

from dshgan_tf.models.precision import full_precision
from dshgan_tf.models.trunk import activate

HIDDEN = 512  # units between frozen features and the streams
FARTHEST = 5.0  # standard deviations from the mean; features farther off are cut


class Sizes(NamedTuple):
    """What the streams put out.

    Attributes:
        semantic_bits: S, bits that tell the classes.
        instance_bits: M, bits that tell single images apart, after those.
        num_classes: L.
        adversary: as in `Network`.
    """

    semantic_bits: int
    instance_bits: int
    num_classes: int
    adversary: str


def streams(features: Any, rows: Any, sizes: Sizes) -> dict[str, Any]:
    """Return the outputs of the three streams; they compute in float32 under mixed precision.

    The hash stream has two parts. The semantic bits train. The instance bits are a projection that no step changes;
    `fit` learns it when all steps are done, and until then these bits are 0.

    Args:
        features: (B, F) symbolic, for what trains.
        rows: (B, ...) symbolic, for the instance bits.
        sizes: of the outputs.

    Returns:
        What `HashEncoder` returns.
    """
    precision = full_precision()  # a bit is a comparison with 0.5
    hash_logits = layers.Dense(sizes.semantic_bits, dtype=precision, name="hash")(features)
    class_logits = layers.Dense(sizes.num_classes, dtype=precision, name="classification")(features)
    if sizes.instance_bits:
        flat = layers.Flatten(dtype=precision, name="instance_rows")(rows)
        fixed = layers.Dense(
            sizes.instance_bits, kernel_initializer="zeros", trainable=False, dtype=precision, name="instance"
        )
        hash_logits = layers.Concatenate(dtype=precision, name="hash_logits")([hash_logits, fixed(flat)])
    if sizes.adversary == "own":
        adversary_logits = layers.Dense(1, dtype=precision, name="adversary")(features)
    else:
        adversary_logits = ops.logsumexp(class_logits, axis=-1, keepdims=True)
    return {
        "relaxed_codes": layers.Activation("sigmoid", dtype=precision, name="relaxed_codes")(hash_logits),
        "adversary_logits": layers.Reshape((), dtype=precision, name="adversary_logits")(adversary_logits),
        "class_logits": class_logits,
    }


def feature_head(size: int, sizes: Sizes) -> keras.Model:
    """Build what trains on the features of a frozen trunk: a hidden layer, then the streams.

    The features are standardised first. Their mean and variance are weights that `fit` sets and no step changes.

    Args:
        size: F, features of an image.
        sizes: of the outputs.

    Returns:
        Model from features (B, F) to what `HashEncoder` returns.
    """
    features = keras.Input((size,), name="features")
    scaled = layers.BatchNormalization(
        center=False, scale=False, epsilon=1e-6, trainable=False, dtype=full_precision(), name="standardise"
    )(features)
    scaled = ops.clip(scaled, -FARTHEST, FARTHEST)
    hidden = activate(layers.Dense(HIDDEN, kernel_initializer="he_normal", name="hidden")(scaled))
    return keras.Model(features, streams(hidden, features, sizes), name="head")
