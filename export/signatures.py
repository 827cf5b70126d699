"""The functions that an exported encoder offers, with the preprocessing of training inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

import dshgan_tf as dsh


def serving_default(model: dsh.DSHGAN) -> Callable[[tf.Tensor], dict[str, Any]]:
    """Return `images` float32 (B, H, W, C), 0..255 -> `codes` uint8 (B, ceil(K/8)), `relaxed_codes` (B, K)."""

    def encode(images: tf.Tensor) -> dict[str, Any]:
        streams = model.average_encoder(dsh.preprocessing.to_network_range(images), training=False)
        relaxed_codes = streams["relaxed_codes"]
        # Integer arithmetic: a float sum of powers of two breaks under quantisation.
        return {"codes": dsh.codes.pack_tf(relaxed_codes > 0.5), "relaxed_codes": relaxed_codes}

    return encode


def device_default(model: dsh.DSHGAN) -> Callable[[tf.Tensor], dict[str, Any]]:
    """Return `images` uint8 (B, H, W, C) -> the same as `serving_default`."""
    encode = serving_default(model)
    return lambda images: encode(tf.cast(images, tf.float32))


def image_signature(model: dsh.DSHGAN, dtype: tf.DType) -> tf.TensorSpec:
    """Return the signature of `images`, any batch size."""
    return tf.TensorSpec((None, *model.image_shape), dtype, name="images")
