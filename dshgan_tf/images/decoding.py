"""Image files in the graph: what `picture_files.read_image` does on files, as TensorFlow operations for serving.

The same formulas give the same pixels, with two differences: embedded profiles are not applied, and the bound on size
is a lower one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dshgan_tf.images.exif_orientation import find_orientation, upright
from dshgan_tf.images.picture_files import DENSEST, DEPTHS, LEAST_SIDE, MAX_SIDE, RATIOS, WHITE

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 1 << 24  # after a JPEG file is reduced; 16.8 million are 200 MB while they are resized
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = 26  # signature, length and name of the first chunk, width and height, bit depth and kind of pixels


def decode_images(image_bytes: tf.Tensor, image_shape: tuple[int, int, int], ground: int = WHITE) -> tf.Tensor:
    """Decode, convert and resize image files.

    Two files are decoded at a time, so that memory is bounded by `MAX_PIXELS` and `MAX_SIDE`. Sizes are read from the
    header, before anything is decoded.

    Args:
        image_bytes: (B,) string, each a JPEG or PNG file of at most 16.8 million pixels, 16,384 on a side; of a JPEG
            file after it was reduced, see `picture_files.open_picture`.
        image_shape: (H, W, C) wanted, C 1 (grey) or 3 (RGB).
        ground: grey level, 0..255, that shows where a file is transparent.

    Returns:
        (B, H, W, C) float32, whole numbers 0..255.

    Raises:
        tf.errors.InvalidArgumentError: (when the graph runs) a file is neither JPEG nor PNG, damaged or too large.
    """
    import tensorflow as tf

    return tf.map_fn(
        lambda contents: _decode(contents, image_shape, ground),
        image_bytes,
        fn_output_signature=tf.TensorSpec(image_shape, tf.float32),
        parallel_iterations=2,
    )


def _decode(contents: tf.Tensor, image_shape: tuple[int, int, int], ground: int) -> tf.Tensor:
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
    halvings = tf.where(is_jpeg, _halvings(size), 0)
    decoded = -(-size // 2**halvings)
    pixels = tf.reduce_prod(tf.cast(decoded, tf.int64))
    # Libjpeg would fill with grey what a damaged file lacks.
    whole = tf.reduce_prod(tf.cast(size, tf.int64)) <= DENSEST * tf.cast(tf.strings.length(contents), tf.int64)
    fits = (is_png | whole) & tf.reduce_all(decoded > 0) & tf.reduce_all(decoded <= MAX_SIDE) & (pixels <= MAX_PIXELS)
    limits = f"image_bytes must hold 1 to {MAX_PIXELS} pixels, at most {MAX_SIDE} on a side, got"
    small = tf.debugging.Assert(fits, [limits, decoded], name="size")
    with tf.control_dependencies([small] if small is not None else []):
        contents = tf.identity(contents)
    image = tf.cond(is_jpeg, lambda: _decode_jpeg(contents, halvings), lambda: _decode_png(contents, ground))
    image = upright(image, find_orientation(contents, is_jpeg))
    if channels == 1:
        image = _grey(image)
    return tf.ensure_shape(_resize(tf.cast(image, tf.float32), height, width), image_shape)


def _halvings(size: tf.Tensor) -> tf.Tensor:
    """How often a JPEG file is halved while it is decoded, 0 to 3; see `picture_files.ratio_for`."""
    import tensorflow as tf

    return tf.reduce_sum(tf.cast(tf.reduce_min(size) >= LEAST_SIDE * tf.constant(RATIOS), tf.int32))


def _decode_jpeg(contents: tf.Tensor, halvings: tf.Tensor) -> tf.Tensor:
    """Pixels (H, W, 3) uint8."""
    import tensorflow as tf

    def reduced(ratio: int) -> tf.Tensor:
        return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    return tf.switch_case(halvings, [lambda ratio=ratio: reduced(ratio) for ratio in (1, *reversed(RATIOS))])


def _decode_png(contents: tf.Tensor, ground: int) -> tf.Tensor:
    """Pixels (H, W, 3) uint8; the ground shows where it is transparent."""
    import tensorflow as tf

    header = tf.io.decode_raw(tf.strings.substr(contents, 24, 2), tf.uint8)
    depth, kind = header[0], header[1]

    def deep_grey() -> tf.Tensor:
        pixels = tf.cast(tf.io.decode_png(contents, channels=1, dtype=tf.uint16), tf.int32)
        holds = tf.reduce_max(pixels) < 2 ** tf.constant(DEPTHS)
        eight = pixels // 2 ** (tf.reduce_min(tf.boolean_mask(tf.constant(DEPTHS), holds)) - 8)
        return tf.repeat(tf.cast(eight, tf.uint8), 3, axis=-1)

    def shown() -> tf.Tensor:
        image = tf.io.decode_png(contents, channels=4)
        opaque = tf.reduce_min(image[..., 3]) == 255
        return tf.cond(opaque, lambda: image[..., :3], lambda: _over(ground, image))  # the other takes memory

    return tf.cond((depth == 16) & (kind == 0), deep_grey, shown)


def _over(ground: int, image: tf.Tensor) -> tf.Tensor:
    """Put (H, W, 4) uint8 over a grey level, in whole numbers as Pillow's paste: t = a b + 128, (t + t / 256) / 256."""
    import tensorflow as tf

    colours, alpha = tf.cast(image[..., :3], tf.int32), tf.cast(image[..., 3:], tf.int32)
    mixed = colours * alpha + ground * (255 - alpha) + 128
    return tf.cast((mixed // 256 + mixed) // 256, tf.uint8)


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
