"""The functions that an exported encoder offers, with the preprocessing of training inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from dshgan_tf import codes
from dshgan_tf.decoding import decode_images

if TYPE_CHECKING:
    from dshgan_tf.model import DSHGAN

Signature = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def write_saved_model(model: DSHGAN, folder: str | Path, class_names: Sequence[str]) -> None:
    """Write the deployed encoder as a SavedModel with the signatures that serving offers.

    Args:
        model: the trained model.
        folder: to write to; it must not exist.
        class_names: L names, which `classify` answers with.
    """
    archive = keras.export.ExportArchive()
    archive.track(model.average_encoder)
    pixels = [image_signature(model, tf.float32)]
    archive.add_endpoint("serving_default", serving_default(model), pixels)
    archive.add_endpoint("encode_bytes", encode_bytes(model), [bytes_signature()])
    archive.add_endpoint("classify", classify(model, class_names), pixels)
    archive.write_out(str(folder), verbose=False)


def serving_default(model: DSHGAN) -> Signature:
    """Return `images` float32 (B, H, W, C), 0..255 -> `codes` uint8 (B, ceil(K/8)), `relaxed_codes` (B, K)."""

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        relaxed_codes = _streams(model, images)["relaxed_codes"]
        # Integer arithmetic: a float sum of powers of two breaks under quantisation.
        return {"codes": codes.pack_tf(relaxed_codes > 0.5), "relaxed_codes": relaxed_codes}

    return encode


def encode_bytes(model: DSHGAN) -> Signature:
    """Return `image_bytes` string (B,), JPEG or PNG of any size -> as `serving_default`, and `codes_bytes` string (B,).

    EXIF rotation is not applied: turn such images before they are sent. TensorFlow Serving's REST interface returns
    outputs whose names end in `_bytes` in base64.
    """
    encode = serving_default(model)

    def encode_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = encode(decode_images(image_bytes, model.image_shape))
        return outputs | {"codes_bytes": _joined(outputs["codes"])}

    return encode_files


def classify(model: DSHGAN, class_names: Sequence[str]) -> Signature:
    """Return `images` float32 (B, H, W, C), 0..255 -> `probabilities` (B, L), `class_id` int64, `class_name` (B,).

    With many labels an image the probabilities are independent; the class is the most probable one.
    """

    def classify_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = _streams(model, images)["class_logits"]
        best = tf.argmax(logits, axis=-1)
        return {
            "probabilities": tf.sigmoid(logits) if model.multi_label else tf.nn.softmax(logits),
            "class_id": best,
            "class_name": tf.gather(tf.constant(list(class_names)), best),
        }

    return classify_images


def device_default(model: DSHGAN) -> Signature:
    """Return `images` uint8 (B, H, W, C) -> the same as `serving_default`."""
    encode = serving_default(model)
    return lambda images: encode(tf.cast(images, tf.float32))


def index_default(model: DSHGAN) -> Signature:
    """Return `images` uint8 (B, H, W, C) -> as `serving_default`, and `class_logits` (B, L)."""

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        streams = _streams(model, tf.cast(images, tf.float32))
        relaxed_codes = streams["relaxed_codes"]
        packed = codes.pack_tf(relaxed_codes > 0.5)
        return {"codes": packed, "relaxed_codes": relaxed_codes, "class_logits": streams["class_logits"]}

    return encode


def image_signature(model: DSHGAN, dtype: tf.DType) -> tf.TensorSpec:
    """Return the signature of `images`, any batch size."""
    return tf.TensorSpec((None, *model.image_shape), dtype, name="images")


def bytes_signature() -> tf.TensorSpec:
    """Return the signature of `image_bytes`, any batch size."""
    return tf.TensorSpec((None,), tf.string, name="image_bytes")


def _streams(model: DSHGAN, images: tf.Tensor) -> dict[str, Any]:
    return model.average_encoder(images, training=False)


def _joined(codes: tf.Tensor) -> tf.Tensor:
    """Join each row of bytes into one string."""
    every_byte = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(every_byte, tf.cast(codes, tf.int32)), axis=-1)
