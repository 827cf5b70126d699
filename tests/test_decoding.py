import functools
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dshgan_tf.images import picture_files
from dshgan_tf.images.decoding import MAX_PIXELS, decode_images
from dshgan_tf.images.picture_files import MAX_SIDE


def picture(height, width, channels, seed=0):
    """Smooth and noisy parts, as photographs have."""
    rng = np.random.default_rng(seed)
    y, x = (axis[..., None] for axis in np.mgrid[:height, :width])
    waves = 127 + 90 * np.sin(x / 5 + np.arange(channels)) * np.cos(y / 7)
    return np.clip(waves + rng.normal(0, 15, (height, width, channels)), 0, 255).astype(np.uint8).squeeze()


def saved(image, form, mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(image)
    (image.convert(mode) if mode else image).save(file, form, **options)
    return file.getvalue()


CASES = {
    "png": saved(picture(40, 56, 3), "PNG"),
    "png, grey": saved(picture(33, 20, 1), "PNG"),
    "png, alpha": saved(picture(24, 24, 4), "PNG"),
    "png, palette": saved(picture(30, 31, 3), "PNG", "P"),
    "png, 16 bits": saved(picture(30, 31, 1).astype(np.uint16) * 257, "PNG"),
    "png, tiny": saved(picture(2, 3, 3), "PNG"),
    "jpeg": saved(picture(40, 56, 3), "JPEG"),
    "jpeg, progressive": saved(picture(64, 48, 3), "JPEG", progressive=True),
    "jpeg, full chroma": saved(picture(41, 33, 3), "JPEG", subsampling=0),
    "jpeg, grey": saved(picture(50, 31, 1), "JPEG"),
    "jpeg, long": saved(picture(8, 300, 3), "JPEG"),
}


@functools.cache
def decoder(image_shape):
    """Traced once a shape, for any number of files, as an export has it."""
    files = tf.TensorSpec([None], tf.string)
    return tf.function(lambda contents: decode_images(contents, image_shape), input_signature=[files])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("image_shape", [(16, 16, 3), (28, 20, 1), (40, 56, 3)])
def test_the_graph_reads_files_as_the_reader_does(name, image_shape, tmp_path):
    (tmp_path / "file").write_bytes(CASES[name])
    theirs = np.rint(picture_files.read_image(str(tmp_path / "file"), image_shape))
    ours = decoder(image_shape)(tf.constant([CASES[name]]))[0].numpy()
    assert ours.dtype == np.float32 and (ours == np.rint(ours)).all()
    # Another order of summation may round a value at .5 to the other side.
    different = np.abs(ours - theirs)
    assert different.max() <= 1 and np.mean(different > 0) < 0.002


def test_pixels_of_the_right_size_pass_unchanged():
    image = picture(16, 12, 3)
    np.testing.assert_array_equal(decode_images(tf.constant([saved(image, "PNG")]), (16, 12, 3))[0], image)


def png_header(width, height):
    """A PNG file that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_header(width, height):
    """A JPEG file whose frame header claims another size."""
    content = bytearray(saved(picture(16, 16, 3), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


BOMBS = {
    "png": png_header(20_000, 20_000),
    "jpeg": jpeg_header(20_000, 20_000),
    "jpeg, long": jpeg_header(65_000, 10) + bytes(10_000),
    "long": png_header(1_000_000, 16),
    "few pixels too many": png_header(4097, 4096),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name, tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"1 to {MAX_PIXELS} pixels, at most {MAX_SIDE} on a side"):
        decoder((8, 8, 3))(tf.constant([BOMBS[name]]))
    (tmp_path / "bomb").write_bytes(BOMBS[name])
    with pytest.raises(ValueError, match="bomb is|cannot read .*bomb"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture_files.read_image(str(tmp_path / "bomb"), (8, 8, 3))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        png_header(0, 5),
        png_header(2**31, 1),
        png_header(64, 64),
        jpeg_header(0, 5),
        CASES["png"][:-200],
        CASES["jpeg"][:300],
        b"GIF89a" + bytes(40),
        bytes(5000),
        b"\xff\xd8\xff\xe0" + bytes(100),
    ],
)
def test_what_is_no_image_is_an_invalid_argument(content):
    decode = decoder((8, 8, 3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant([CASES["png"], content]))
    assert decode(tf.constant([CASES["png"]])).shape == (1, 8, 8, 3)


def with_exif(content, form, orientation, order="<", before=b""):
    """The file with a TIFF directory of our own making in front: three entries, the orientation the second."""
    entries = [(0x010F, 2, 4, b"me\0\0"), (0x0112, 3, 1, struct.pack(order + "HH", orientation, 0))]
    entries.append((0x0131, 3, 1, struct.pack(order + "HH", 6, 0)))
    mark = b"II" if order == "<" else b"MM"
    directory = mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(entries))
    directory += b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)
    if form == "JPEG":
        segment = b"\xff\xe1" + struct.pack(">H", len(directory) + 8) + b"Exif\0\0" + directory
        return content[:2] + before + segment + content[2:]
    chunk = b"eXIf" + directory
    return (
        content[:33] + struct.pack(">I", len(directory)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    )


OTHER_SEGMENTS = b"\xff\xe1" + struct.pack(">H", 12) + b"http://x/\0" + b"\xff\xff\xfe" + struct.pack(">H", 5) + b"hey"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_the_graph_turns_pictures_as_the_reader_does(form, order, orientation):
    plain = saved(picture(24, 40, 3), form)
    content = with_exif(plain, form, orientation, order, OTHER_SEGMENTS if form == "JPEG" else b"")
    theirs = np.rint(picture_files.read_image("photo", (12, 10, 3), content))
    (ours,) = decode_images(tf.constant([content]), (12, 10, 3)).numpy()
    assert np.abs(ours - theirs).max() <= 1
    unturned = np.rint(picture_files.read_image("photo", (12, 10, 3), plain))
    assert (np.abs(unturned - theirs).max() > 20) == (2 <= orientation <= 8)


def test_a_damaged_directory_tells_nothing():
    content = with_exif(saved(picture(24, 40, 3), "JPEG"), "JPEG", 6)
    upright = decode_images(tf.constant([saved(picture(24, 40, 3), "JPEG")]), (12, 10, 3))
    for place, value in ((30, 255), (31, 255), (26, 250), (20, 0), (24, 0)):
        damaged = content[:place] + bytes([value]) + content[place + 1 :]
        (found,) = decode_images(tf.constant([damaged]), (12, 10, 3)).numpy()
        assert found.shape == upright[0].shape
    assert np.abs(decode_images(tf.constant([content]), (12, 10, 3)) - upright).max() > 20
