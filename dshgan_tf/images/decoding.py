"""Image files in the graph: what `preprocessing.read_image` does on files, as TensorFlow operations for serving.

The same formulas give the same pixels, with one difference: EXIF rotation is not applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dshgan_tf.images.preprocessing import MAX_PIXELS, MAX_SIDE

if TYPE_CHECKING:
    import tensorflow as tf

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = 24  # signature, length and name of the first chunk, width and height


def decode_images(image_bytes: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Decode, convert and resize image files.

    Two files are decoded at a time, so that memory is bounded by `MAX_PIXELS` and `MAX_SIDE`. Sizes are read from the
    header, before anything is decoded.

    Args:
        image_bytes: (B,) string, each a JPEG or PNG file of at most 16.8 million pixels, 16,384 on a side.
        image_shape: (H, W, C) wanted, C 1 (grey) or 3 (RGB).

    Returns:
        (B, H, W, C) float32, whole numbers 0..255.

    Raises:
        tf.errors.InvalidArgumentError: (when the graph runs) a file is neither JPEG nor PNG, damaged or too large.
    """
    import tensorflow as tf

    return tf.map_fn(
        lambda contents: _decode(contents, image_shape),
        image_bytes,
        fn_output_signature=tf.TensorSpec(image_shape, tf.float32),
        parallel_iterations=2,
    )


def _decode(contents: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    import tensorflow as tf

    height, width, channels = image_shape
    is_jpeg = tf.io.is_jpeg(contents)
    is_png = tf.strings.length(contents) >= PNG_HEADER
    is_png = tf.logical_and(is_png, tf.strings.substr(contents, 0, 8) == PNG_SIGNATURE)
    known = tf.debugging.Assert(
        tf.logical_or(is_jpeg, is_png), ["image_bytes must be a JPEG or PNG file"], name="format"
    )
    with tf.control_dependencies([known] if known is not None else []):
        size = tf.cond(is_jpeg, lambda: tf.image.extract_jpeg_shape(contents)[:2], lambda: _png_size(contents))
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    fits = tf.reduce_all(size > 0) & tf.reduce_all(size <= MAX_SIDE) & (pixels <= MAX_PIXELS)
    limits = f"image_bytes must hold 1 to {MAX_PIXELS} pixels, at most {MAX_SIDE} on a side, got"
    small = tf.debugging.Assert(fits, [limits, size], name="size")
    with tf.control_dependencies([small] if small is not None else []):
        contents = tf.identity(contents)
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(contents, channels=3),
    )
    if channels == 1:
        image = _grey(image)
    return tf.ensure_shape(_resize(tf.cast(image, tf.float32), height, width), image_shape)


def _png_size(contents: tf.Tensor) -> tf.Tensor:
    """Height and width, (2,) int32, from the header."""
    import tensorflow as tf

    return tf.io.decode_raw(tf.strings.substr(contents, 16, 8), tf.int32, little_endian=False)[::-1]


def _grey(image: tf.Tensor) -> tf.Tensor:
    """Luma in whole numbers, as Pillow's: (19595 R + 38470 G + 7471 B + 2^15) / 2^16 (ITU-R 601)."""
    import tensorflow as tf

    weighted = tf.reduce_sum(tf.cast(image, tf.int32) * tf.constant([19595, 38470, 7471]), axis=-1, keepdims=True)
    return (weighted + 32768) // 65536


def _resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """`preprocessing.resize`, rounded to whole numbers."""
    import tensorflow as tf

    rows = _resize_weights(tf.shape(image)[0], height)
    columns = _resize_weights(tf.shape(image)[1], width)
    return tf.round(tf.einsum("wj,hjc->hwc", columns, tf.einsum("hi,ijc->hjc", rows, image)))


def _resize_weights(source: tf.Tensor, target: int) -> tf.Tensor:
    """`preprocessing.resize_weights` for a size that only the running graph knows."""
    import tensorflow as tf

    scale = tf.cast(source, tf.float64) / target
    reach = tf.maximum(scale, 1.0)
    centres = (tf.range(target, dtype=tf.float64) + 0.5) * scale - 0.5
    places = tf.cast(tf.range(source), tf.float64)
    weights = tf.maximum(tf.constant(0, tf.float64), 1 - tf.abs(centres[:, None] - places[None, :]) / reach)
    return tf.cast(weights / tf.reduce_sum(weights, axis=1, keepdims=True), tf.float32)
