"""How a camera was held, read from a JPEG or PNG file in the graph, and the picture turned upright.

EXIF is a TIFF directory: 12 bytes an entry, the tag first, a short value at its ninth byte. A JPEG file has it in a
segment APP1 that starts with "Exif", a PNG file in a chunk "eXIf".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

ORIENTATION = 0x0112
LOOKED_AT = 1 << 17  # bytes at the start of a file; a segment has at most half as many
MOST_ENTRIES = 1 << 10  # of a directory
MOST_PARTS = 1 << 10  # segments or chunks that are passed on the way
TRANSPOSED, MIRRORED, UPSIDE_DOWN = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


def find_orientation(contents: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    """Return the orientation that a file tells, 1 to 8; 1 where it tells none.

    Args:
        contents: scalar string, a JPEG or PNG file.
        is_jpeg: scalar bool.

    Returns:
        Scalar int32.
    """
    import tensorflow as tf

    head = tf.cast(tf.io.decode_raw(tf.strings.substr(contents, 0, LOOKED_AT), tf.uint8), tf.int32)
    start = tf.cond(is_jpeg, lambda: _find_segment(head), lambda: _find_chunk(head))
    return tf.cond(start > 0, lambda: _read_directory(head, start), lambda: tf.constant(1))


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn a picture (H, W, C) as its orientation says."""
    import tensorflow as tf

    def among(values: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    image = tf.cond(among(TRANSPOSED), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(MIRRORED), lambda: image[:, ::-1], lambda: image)
    return tf.cond(among(UPSIDE_DOWN), lambda: image[::-1], lambda: image)


def _find_segment(head: tf.Tensor) -> tf.Tensor:
    """Where the directory of a JPEG file starts, 0 where there is none."""
    import tensorflow as tf

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return _is(head, at, b"\xff\xe1") & _is(head, at + 4, b"Exif\x00\x00")

    def more(at: tf.Tensor) -> tf.Tensor:
        return _is(head, at, b"\xff") & ~_is(head, at + 1, b"\xda") & ~is_exif(at)

    def following(at: tf.Tensor) -> tuple[tf.Tensor]:
        is_filling = _number(head, at + 1, 1) == 0xFF
        return (at + tf.where(is_filling, 1, 2 + _number(head, at + 2, 2)),)

    (at,) = tf.while_loop(more, following, (tf.constant(2),), maximum_iterations=MOST_PARTS)
    return tf.where(is_exif(at), at + 10, 0)


def _find_chunk(head: tf.Tensor) -> tf.Tensor:
    """Where the directory of a PNG file starts, 0 where there is none."""
    import tensorflow as tf

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return _is(head, at + 4, b"eXIf")

    def more(at: tf.Tensor) -> tf.Tensor:
        return (at + 12 < tf.size(head)) & ~is_exif(at)

    def following(at: tf.Tensor) -> tuple[tf.Tensor]:
        length = tf.clip_by_value(_number(head, at, 4), 0, LOOKED_AT)
        return (at + 12 + length,)

    (at,) = tf.while_loop(more, following, (tf.constant(8),), maximum_iterations=MOST_PARTS)
    return tf.where(is_exif(at), at + 8, 0)


def _read_directory(head: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of TIFF data."""
    import tensorflow as tf

    little = _number(head, start, 2) == 0x4949  # "II"
    first = start + tf.clip_by_value(_number(head, start + 4, 4, little), 8, LOOKED_AT)
    entries = first + 2 + 12 * tf.range(tf.minimum(_number(head, first, 2, little), MOST_ENTRIES))
    told = tf.boolean_mask(_number(head, entries + 8, 2, little), _number(head, entries, 2, little) == ORIENTATION)
    value = tf.cond(tf.size(told) > 0, lambda: told[0], lambda: tf.constant(1))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _number(head: tf.Tensor, at: tf.Tensor, length: int, little: tf.Tensor | bool = False) -> tf.Tensor:
    """Whole numbers of so many bytes, at one or several places; bytes behind the end are 0."""
    import tensorflow as tf

    places = tf.expand_dims(at, -1) + tf.range(length)
    inside = (places >= 0) & (places < tf.size(head))
    values = tf.where(inside, tf.gather(head, tf.clip_by_value(places, 0, tf.maximum(tf.size(head) - 1, 0))), 0)
    values = tf.where(little, tf.reverse(values, [-1]), values)
    return tf.reduce_sum(values * tf.constant([256**power for power in range(length - 1, -1, -1)], tf.int32), axis=-1)


def _is(head: tf.Tensor, at: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether this text stands there."""
    import tensorflow as tf

    return tf.reduce_all(_number(head, at + tf.range(len(text)), 1) == tf.constant(list(text)))
