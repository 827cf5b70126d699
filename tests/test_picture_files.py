"""Every kind of file that people have, made here, with the right pixels: not only without an error."""

import io
import struct
import threading

import numpy as np
import pillow_heif
import pytest
import tensorflow as tf
from PIL import Image, ImageCms, TiffImagePlugin

from dshgan_tf.errors import InputError
from dshgan_tf.images import picture_files
from dshgan_tf.images.decoding import decode_images
from dshgan_tf.images.picture_files import LEAST_SIDE, SUFFIXES, look_at, open_picture, ratio_for, read_image

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40), (128, 128, 128)]
BAR = np.repeat(np.repeat(np.array(COLOURS, np.uint8)[None], 32, axis=0), 32, axis=1)  # (32, 224, 3)
GREY_BAR = np.repeat(np.repeat(np.array([0, 64, 128, 255], np.uint8)[None], 32, axis=0), 32, axis=1)
LOSSLESS = {".png": {}, ".bmp": {}, ".tif": {}, ".tiff": {"compression": "tiff_lzw"}, ".webp": {"lossless": True}}
LOSSY = {
    ".jpg": {"quality": 100, "subsampling": 0},
    ".jpeg": {"quality": 100, "subsampling": 0, "progressive": True},
    ".avif": {"quality": 100, "subsampling": "4:4:4"},
    ".heic": {"quality": 100, "chroma": 444},
    ".heif": {"quality": 100, "chroma": 444},
    ".gif": {},
}


@pytest.fixture(scope="module", autouse=True)
def heif_writer():
    pillow_heif.register_heif_opener()


def middles(pixels):
    """The colours in the middle of each patch, far from where a codec blurs."""
    return pixels[16, 16::32].astype(int)


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_a_colour_bar_in_every_format(suffix, tmp_path):
    path = tmp_path / f"bar{suffix.upper()}"
    form = {".heic": "HEIF", ".heif": "HEIF"}.get(suffix)
    Image.fromarray(BAR).save(path, form, **(LOSSLESS | LOSSY)[suffix])
    np.testing.assert_allclose(middles(np.asarray(open_picture(path))), COLOURS, atol=2)
    assert look_at(path) == ((32, 224), False)


def test_every_suffix_is_tried():
    assert set(SUFFIXES) == {*LOSSLESS, *LOSSY}


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_stays_grey(mode, tmp_path):
    bar = Image.fromarray(GREY_BAR)
    (Image.fromarray((GREY_BAR > 100).astype(np.uint8) * 255).convert("1") if mode == "1" else bar.convert(mode)).save(
        tmp_path / "bar.png"
    )
    picture = open_picture(tmp_path / "bar.png")
    expected = np.where(GREY_BAR > 100, 255, 0) if mode == "1" else GREY_BAR
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), expected)


def test_the_eight_orientations_are_one(tmp_path):
    upright = Image.fromarray(BAR)
    upright.save(tmp_path / "1.png")
    turns = Image.Transpose
    # What a camera stores where it was held so: the inverse of how a viewer turns it.
    stored = {
        2: [turns.FLIP_LEFT_RIGHT],
        3: [turns.ROTATE_180],
        4: [turns.FLIP_TOP_BOTTOM],
        5: [turns.TRANSPOSE],
        6: [turns.ROTATE_90],
        7: [turns.TRANSVERSE],
        8: [turns.ROTATE_270],
    }
    for orientation, (turn,) in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(turn).save(tmp_path / "turned.png", exif=exif)
        np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "turned.png")), BAR)


def icon(shape):
    """Black on a transparent ground."""
    rows = np.zeros((32, 32, 4), np.uint8)
    rows[..., 3] = 255 * shape
    return Image.fromarray(rows)


def test_transparent_icons_differ(tmp_path):
    y, x = np.mgrid[:32, :32]
    shapes = {"disc": (y - 16) ** 2 + (x - 16) ** 2 < 100, "bar": abs(x - 16) < 4}
    for name, shape in shapes.items():
        icon(shape).save(tmp_path / f"{name}.png")
        icon(shape).save(tmp_path / f"{name}.webp", lossless=True)
        icon(shape).quantize(2).save(tmp_path / f"{name}.gif", transparency=icon(~shape).quantize(2).getpixel((0, 0)))
        for suffix in ("png", "webp"):
            found = np.asarray(open_picture(tmp_path / f"{name}.{suffix}"))
            np.testing.assert_array_equal(found, np.where(shape, 0, 255)[..., None].repeat(3, axis=-1))
            assert find_shape_is_colour(tmp_path / f"{name}.{suffix}")


def find_shape_is_colour(path):
    return not look_at(path)[1]


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (8, 8), (100, 0, 0, 128)).save(tmp_path / "half.png")
    # 100 * 128 / 255 + 255 * 127 / 255 = 177.2, and 0 + 127 = 127.
    np.testing.assert_allclose(np.asarray(open_picture(tmp_path / "half.png"))[0, 0], [177, 127, 127], atol=1)
    (decoded,) = decode_images(tf.constant([(tmp_path / "half.png").read_bytes()]), (8, 8, 3)).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(open_picture(tmp_path / "half.png")))
    # 100 * 128 / 255 + 51 * 127 / 255 = 75.6, and 51 * 127 / 255 = 25.4.
    over = np.asarray(open_picture(tmp_path / "half.png", ground=51))
    np.testing.assert_array_equal(over[0, 0], [76, 25, 25])


@pytest.mark.parametrize("ground", [255, 0, 90])
@pytest.mark.parametrize("form", ["RGBA", "LA", "P"])
def test_the_graph_puts_over_a_ground_as_the_reader(form, ground):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 40, 4), np.uint8)).convert(form)
    contents = saved(image, "PNG", **({"transparency": 3} if form == "P" else {}))
    ours = np.asarray(open_picture("image", contents, ground).convert("RGB"))
    np.testing.assert_array_equal(decode_images(tf.constant([contents]), (40, 40, 3), ground)[0], ours)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_has_as_many_as_it_uses(bits, suffix, tmp_path):
    Image.fromarray(GREY_BAR.astype(np.uint16) << (bits - 8)).save(tmp_path / f"bar.{suffix}")
    picture = open_picture(tmp_path / f"bar.{suffix}")
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), GREY_BAR)
    if suffix == "png":
        contents = tf.constant([(tmp_path / "bar.png").read_bytes()])
        np.testing.assert_array_equal(decode_images(contents, (*GREY_BAR.shape, 1))[0, ..., 0], GREY_BAR)


def test_a_tiff_tag_tells_the_bits(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095
    tags.tagtype[281] = 3
    dark = (GREY_BAR.astype(np.uint16) << 4) // 8  # at most 510, which 10 bits would hold
    Image.fromarray(dark).save(tmp_path / "dark.tif", tiffinfo=tags)
    np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "dark.tif")), GREY_BAR // 8)


@pytest.mark.parametrize("kind", ["F", "I"])
def test_pixels_of_32_bits_are_refused_by_name(kind, tmp_path):
    Image.new(kind, (4, 4), 1).save(tmp_path / "deep.tif")
    with pytest.raises(InputError, match=r"deep\.tif.*32 bits"):
        open_picture(tmp_path / "deep.tif")


def matrix_profile(primaries, gamma):
    """An ICC profile (version 2) of a display: three columns of XYZ under D50, and one exponent."""

    def fixed(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"a display"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(1 + 8 + 3 + 67)
    parts = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz([0.9642, 1.0, 0.8249])}
    parts |= {tag: xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data, start = b"", b"", 128 + 4 + 12 * len(parts)
    for tag, content in parts.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += content
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp")
    header += bytes(28) + b"".join(map(fixed, [0.9642, 1.0, 0.8249]))
    return header.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + data


# Columns of the primaries under D50: of sRGB, and of Display P3 (Apple's profile has these numbers).
SRGB = np.array([[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]])
P3 = np.array([[0.5151, 0.2412, -0.0011], [0.2920, 0.6922, 0.0419], [0.1571, 0.0666, 0.7841]])


def by_hand(pixels, primaries, gamma):
    """From pixels of a display to sRGB: linear light, XYZ, linear light of sRGB, its curve (IEC 61966-2-1)."""
    light = ((np.asarray(pixels) / 255) ** gamma) @ primaries @ np.linalg.inv(SRGB)
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("primaries", "gamma"), [(P3, 2.2), (SRGB, 1.8), (P3, 1.0)])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG", "RGBA"])
def test_profiles_become_srgb(primaries, gamma, form):
    image, options = Image.fromarray(BAR), {"lossless": True} if form == "WEBP" else {}
    if form == "JPEG":
        options = {"quality": 100, "subsampling": 0}
    image = image.convert("RGBA") if form == "RGBA" else image
    contents = saved(image, "PNG" if form == "RGBA" else form, icc_profile=matrix_profile(primaries, gamma), **options)
    found = middles(np.asarray(open_picture("bar", contents)))
    np.testing.assert_allclose(found, by_hand(COLOURS, primaries, gamma), atol=2)
    assert np.abs(found - COLOURS).max() > 4


def test_what_a_profile_cannot_tell_is_left_aside():
    plain = np.asarray(open_picture("bar", saved(Image.fromarray(BAR), "PNG")))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", matrix_profile(P3, 2.2)[:200]):
        found = open_picture("bar", saved(Image.fromarray(BAR), "PNG", icc_profile=profile))
        np.testing.assert_array_equal(np.asarray(found), plain)
    grey = saved(Image.fromarray(GREY_BAR), "PNG", icc_profile=matrix_profile(P3, 2.2))  # of colours, on grey
    np.testing.assert_array_equal(np.asarray(open_picture("bar", grey)), GREY_BAR)


@pytest.mark.parametrize(
    ("sides", "ratio"), [((1023, 9000), 1), ((2048, 9000), 2), ((8191, 8191), 4), ((8192, 9000), 8)]
)
def test_what_stays_of_a_large_photograph(sides, ratio):
    assert ratio_for(*sides) == ratio_for(*sides[::-1]) == ratio


def large_photograph(width, height, **options):
    y, x = np.mgrid[: height // 8, : width // 8]
    waves = np.stack([127 + 100 * np.sin(x / (7 + c)) * np.cos(y / 9) for c in range(3)], axis=-1)
    return saved(Image.fromarray(waves.astype(np.uint8)).resize((width, height)), "JPEG", quality=90, **options)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_large_photograph_is_nearly_as_if_whole(options, monkeypatch):
    contents = large_photograph(2 * LEAST_SIDE + 3, 2 * LEAST_SIDE + 200, **options)
    reduced, small = open_picture("photo", contents), read_image("photo", (64, 64, 3), contents)
    assert reduced.size == (LEAST_SIDE + 2, LEAST_SIDE + 100)
    (graph,) = decode_images(tf.constant([contents]), (64, 64, 3)).numpy()
    assert np.abs(graph - small).max() <= 1
    monkeypatch.setattr(picture_files, "RATIOS", ())
    assert open_picture("photo", contents).size == (2 * LEAST_SIDE + 3, 2 * LEAST_SIDE + 200)
    assert np.abs(read_image("photo", (64, 64, 3), contents) - small).max() < 2


def test_the_bound_is_on_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(picture_files, "MAX_BYTES", 3 << 20)
    plain = large_photograph(2 * LEAST_SIDE, 2 * LEAST_SIDE)
    assert open_picture("photo", plain).size == (LEAST_SIDE, LEAST_SIDE)  # 3 MiB
    progressive = large_photograph(2 * LEAST_SIDE, 2 * LEAST_SIDE, progressive=True)
    with pytest.raises(InputError, match="takes 15 MiB; at most 3 MiB"):  # 3, and 1.5 x 2 bytes of 4 Mi pixels
        open_picture("photo", progressive)
    for form, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {}), ("AVIF", {"speed": 10}), ("GIF", {}), ("BMP", {})):
        grey = form == "GIF"
        image = Image.new("L" if grey else "RGB", (2048, 2048 if grey else 1024))
        contents = saved(image, form, **options)
        with pytest.raises(InputError, match="at most 3 MiB"):
            open_picture(f"bomb.{form}", contents)


def test_many_threads_read_the_same():
    contents = saved(Image.fromarray(BAR), "PNG", icc_profile=matrix_profile(P3, 2.2))
    expected, found = np.asarray(open_picture("bar", contents)), []
    threads = [
        threading.Thread(target=lambda: found.append(np.asarray(open_picture("bar", contents)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all((picture == expected).all() for picture in found)


def test_without_pi_heif_the_error_names_it(monkeypatch, tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"not read")
    monkeypatch.setattr(picture_files, "_read_heif_too", lambda: False)
    with pytest.raises(InputError, match=r"photo\.heic.*pip install pi-heif"):
        open_picture(tmp_path / "photo.heic")
