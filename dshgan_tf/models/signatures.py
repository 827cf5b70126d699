"""The functions that an exported encoder offers, with the preprocessing of training inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from dshgan_tf import codes
from dshgan_tf.images.decoding import decode_images

if TYPE_CHECKING:
    from dshgan_tf.models.hash_encoder import HashEncoder

Signature = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def write_saved_model(encoder: HashEncoder, folder: str | Path, class_names: Sequence[str]) -> None:
    """Write the deployed encoder as a SavedModel with the signatures that serving offers.

    Args:
        encoder: the trained encoder.
        folder: to write to; it must not exist.
        class_names: L names, which `classify` answers with.
    """
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    pixels = [image_signature(encoder, tf.float32)]
    archive.add_endpoint("serving_default", serving_default(encoder), pixels)
    archive.add_endpoint("encode_bytes", encode_bytes(encoder), [bytes_signature()])
    archive.add_endpoint("classify", classify(encoder, class_names), pixels)
    archive.write_out(str(folder), verbose=False)


def serving_default(encoder: HashEncoder) -> Signature:
    """Return `images` float32 (B, H, W, C), 0..255 -> `codes` uint8 (B, ceil(K/8)), `relaxed_codes` (B, K)."""

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return _codes(_streams(encoder, images))

    return encode


def encode_bytes(encoder: HashEncoder) -> Signature:
    """Return `image_bytes` string (B,), JPEG or PNG of any size -> as `serving_default`, and `codes_bytes` string (B,).

    EXIF rotation is not applied: turn such images before they are sent. TensorFlow Serving's REST interface returns
    outputs whose names end in `_bytes` in base64.
    """
    encode = serving_default(encoder)

    def encode_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = encode(decode_images(image_bytes, encoder.image_shape, encoder.network.ground))
        return outputs | {"codes_bytes": _joined(outputs["codes"])}

    return encode_files


def classify(encoder: HashEncoder, class_names: Sequence[str]) -> Signature:
    """Return `images` float32 (B, H, W, C), 0..255 -> `probabilities` (B, L), `class_id` int64, `class_name` (B,).

    With many labels an image the probabilities are independent; the class is the most probable one.
    """

    def classify_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = _streams(encoder, images)["class_logits"]
        best = tf.argmax(logits, axis=-1)
        return {
            "probabilities": tf.sigmoid(logits) if encoder.multi_label else tf.nn.softmax(logits),
            "class_id": best,
            "class_name": tf.gather(tf.constant(list(class_names)), best),
        }

    return classify_images


def device_default(encoder: HashEncoder) -> Signature:
    """Return `images` uint8 (B, H, W, C) -> the same as `serving_default`."""
    encode = serving_default(encoder)
    return lambda images: encode(tf.cast(images, tf.float32))


def index_default(encoder: HashEncoder) -> Signature:
    """Return `images` uint8 (B, H, W, C) -> as `serving_default`, and `class_logits` (B, L)."""

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        streams = _streams(encoder, tf.cast(images, tf.float32))
        return _codes(streams) | {"class_logits": streams["class_logits"]}

    return encode


def image_signature(encoder: HashEncoder, dtype: tf.DType, batch_size: int | None = None) -> tf.TensorSpec:
    """Return the signature of `images`, of any batch size where none is given."""
    return tf.TensorSpec((batch_size, *encoder.image_shape), dtype, name="images")


def bytes_signature() -> tf.TensorSpec:
    """Return the signature of `image_bytes`, any batch size."""
    return tf.TensorSpec((None,), tf.string, name="image_bytes")


def _streams(encoder: HashEncoder, images: tf.Tensor) -> dict[str, Any]:
    return encoder(images, training=False)


def _codes(streams: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Binarise; in integer arithmetic, since a float sum of powers of two breaks under quantisation."""
    relaxed_codes = streams["relaxed_codes"]
    return {"codes": codes.pack_tf(relaxed_codes > 0.5), "relaxed_codes": relaxed_codes}


def _joined(codes: tf.Tensor) -> tf.Tensor:
    """Join each row of bytes into one string."""
    every_byte = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(every_byte, tf.cast(codes, tf.int32)), axis=-1)
