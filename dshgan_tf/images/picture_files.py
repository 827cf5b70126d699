"""Image files as people have them, opened as grey or RGB pixels of 8 bits: upright, opaque, in sRGB.

The same file gives the same pixels wherever Python reads it: in training, in an index, on a device.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from dshgan_tf.errors import InputError
    from dshgan_tf.images.preprocessing import resize
except ImportError:  # on a device, where the files lie side by side
    from errors import InputError
    from preprocessing import resize

if TYPE_CHECKING:
    from PIL import Image

HEIF = (".heic", ".heif")  # these need pi-heif, which a device may lack
SUFFIXES = tuple(sorted((".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", *HEIF)))
MAX_BYTES = 1 << 28  # of a decoded picture; while it is converted there are at most two of it
WHITE = 255
MAX_SIDE = 1 << 14  # of a decoded picture: the weights of a resize are target x side
LEAST_SIDE = 1024  # what a JPEG file is not reduced below; no encoder takes more
RATIOS = (8, 4, 2)  # by which a JPEG file can be reduced while it is decoded
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners store in 16
GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N")
MAX_SAMPLE_VALUE = 281  # a TIFF tag
DENSEST = 512  # pixels that a byte of a JPEG file can hold: a bit for each block of 64, of each of two channels
JPEG = b"\xff\xd8\xff"


def open_picture(path: str | os.PathLike[str], contents: bytes | None = None, ground: int = WHITE) -> Image.Image:
    """Open an image file.

    A JPEG file is decoded at a half, a quarter or an eighth of its size where its shorter side stays at least 1,024
    pixels. Grey pixels of 16 bits have as many as the file uses: what its TIFF tag says, or else the fewest of 8, 10,
    12, 14 and 16 that hold its largest value. Colours of an embedded profile become those of sRGB; a profile that is
    damaged or of other pixels is left aside.

    Args:
        path: a file with one of `SUFFIXES`; of an animation the first picture counts.
        contents: of a file that is not on disk by itself; `path` is then its name.
        ground: grey level that shows where the picture is transparent.

    Returns:
        The picture, mode L or RGB; the EXIF rotation is applied.

    Raises:
        InputError: the file is missing, is no image or is too large; it names the file.
    """
    return open_with_size(path, contents, ground)[0]


def open_with_size(
    path: str | os.PathLike[str], contents: bytes | None = None, ground: int = WHITE
) -> tuple[Image.Image, tuple[int, int]]:
    """Open an image file as `open_picture` does; return also its own height and width, neither turned nor reduced."""
    with _opened(path, contents) as opened:
        size = opened.size[::-1]
        _check_size(opened, path, _reduce(opened, path))
        try:
            return _grey_or_rgb(opened, ground), size
        except Exception as error:
            raise InputError(f"cannot read {path} as an image ({error}); give a JPEG or PNG file") from error


def look_at(path: str | os.PathLike[str] | bytes) -> tuple[tuple[int, int], bool]:
    """Return height and width of an image file, and whether it is grey, without decoding it.

    Raises:
        InputError: it is missing, or no image.
    """
    with _opened("the file" if isinstance(path, bytes) else path, path if isinstance(path, bytes) else None) as opened:
        return opened.size[::-1], opened.mode in GREY_MODES


def to_image(picture: Image.Image, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Convert a picture to the wanted channels, and resize it.

    Args:
        picture: as `open_picture` returns it.
        image_shape: (H, W, C) wanted, C 1 (grey) or 3 (RGB).

    Returns:
        (H, W, C) float32, 0..255.
    """
    height, width, channels = image_shape
    wanted = "L" if channels == 1 else "RGB"
    array = np.asarray(picture if picture.mode == wanted else picture.convert(wanted))
    return resize(array.reshape(array.shape[0], array.shape[1], channels), height, width)


def read_image(
    path: str | os.PathLike[str],
    image_shape: tuple[int, int, int],
    contents: bytes | None = None,
    ground: int = WHITE,
) -> np.ndarray:
    """Read an image file as pixels of a given shape; see `open_picture`.

    Args:
        path: as in `open_picture`.
        image_shape: (H, W, C) wanted, C 1 (grey) or 3 (RGB).
        contents: as in `open_picture`.
        ground: as in `open_picture`.

    Returns:
        (H, W, C) float32, 0..255.

    Raises:
        InputError: as `open_picture`.
    """
    return to_image(open_picture(path, contents, ground), image_shape)


def ratio_for(width: int, height: int) -> int:
    """Return by how much a JPEG file of this size is reduced while it is decoded: 1, 2, 4 or 8."""
    return next((ratio for ratio in RATIOS if min(width, height) >= ratio * LEAST_SIDE), 1)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], contents: bytes | None) -> Iterator[Image.Image]:
    """Open a file, and close it."""
    from PIL import Image, JpegImagePlugin, UnidentifiedImageError

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(io.BytesIO(contents) if contents is not None else open(path, "rb"))
            head = file.read(len(JPEG))
            file.seek(0)
            _read_heif_too()
            # Pillow's own bound is on the pixels of the file; those of a JPEG file need not all be decoded.
            opened = stack.enter_context(JpegImagePlugin.JpegImageFile(file) if head == JPEG else Image.open(file))
        except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
            known = {UnidentifiedImageError: "of no known format", Image.DecompressionBombError: "far too large"}
            known |= {FileNotFoundError: "it is not there", IsADirectoryError: "it is a folder"}
            reason = known.get(type(error), error)
            advice = "give a JPEG or PNG file"
            if os.fspath(path).lower().endswith(HEIF) and not _read_heif_too():
                advice = f"it needs pi-heif (pip install pi-heif), or {advice}"
            raise InputError(f"cannot read {path} as an image ({reason}); {advice}") from error
        yield opened


@functools.cache
def _read_heif_too() -> bool:
    """Teach Pillow to read HEIF, and return whether it can."""
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _reduce(opened: Any, path: str | os.PathLike[str]) -> int:
    """Let a large JPEG file be decoded at a part of its size, and return the bytes that it needs besides."""
    if opened.format != "JPEG":
        return 0
    width, height = opened.size
    length = opened.fp.seek(0, io.SEEK_END)
    if width * height > DENSEST * length:
        raise InputError(f"{path} is {width} x {height} pixels, more than its {length} bytes can hold: it is damaged")
    if (ratio := ratio_for(width, height)) > 1:
        opened.draft(None, (width // ratio, height // ratio))
    return _coefficients(opened, width * height)


def _check_size(opened: Image.Image, path: str | os.PathLike[str], besides: int) -> None:
    """Refuse what would take more memory than the bound, before it is decoded."""
    width, height = opened.size
    needed = width * height * (2 if opened.mode.startswith("I;16") else len(opened.getbands())) + besides
    if max(width, height) > MAX_SIDE or needed > MAX_BYTES:
        raise InputError(
            f"{path} is {width} x {height} pixels and takes {needed >> 20} MiB; at most {MAX_BYTES >> 20} MiB and "
            f"{MAX_SIDE} on a side are read: shrink it first"
        )


def _coefficients(opened: Any, pixels: int) -> int:
    """Bytes that a progressive JPEG file keeps of its whole size: 2 for each sample of each channel."""
    if not opened.info.get("progressive"):
        return 0
    factors = [(across, down) for _, across, down, _ in opened.layer]
    finest = max(across for across, _ in factors) * max(down for _, down in factors)
    return sum(2 * pixels * across * down // max(finest, 1) for across, down in factors)


def _grey_or_rgb(opened: Image.Image, ground: int) -> Image.Image:
    """Decode and convert: see `open_picture`."""
    from PIL import Image, ImageOps

    opened.load()
    profile = opened.info.get("icc_profile")
    tagged = getattr(opened, "tag_v2", {}).get(MAX_SAMPLE_VALUE)
    ImageOps.exif_transpose(opened, in_place=True)
    picture: Image.Image = opened
    if picture.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, nobody says what is white; convert it to 8 or 16")
    if picture.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255
        return Image.fromarray(_eight_bits(np.asarray(picture), tagged))
    grey = picture.mode in GREY_MODES
    if picture.has_transparency_data:
        picture = picture.convert("LA" if grey else "RGBA")
        alpha = picture.getchannel("A")
        shown = _in_srgb(picture.convert("L" if grey else "RGB"), profile)
        behind = Image.new(shown.mode, shown.size, ground if grey else (ground,) * 3)
        behind.paste(shown, mask=alpha)
        return behind
    if picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("L" if grey else "RGB")
    picture = _in_srgb(picture, profile)
    return picture.convert("RGB") if picture.mode == "CMYK" else picture.copy()


def _eight_bits(pixels: np.ndarray, tagged: Any) -> np.ndarray:
    """Return the upper 8 of the bits that are used.

    Args:
        pixels: (H, W) uint16.
        tagged: the largest value that pixels may have, by the file; None where it does not say.
    """
    said = max(tagged, default=0) if isinstance(tagged, tuple) else tagged
    largest = min(max(int(pixels.max(initial=0)), int(said or 0)), 2**16 - 1)
    depth = next(bits for bits in DEPTHS if largest < 2**bits)
    return (pixels >> (depth - 8)).astype(np.uint8)


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from the embedded profile, L to L and all else to RGB; or return the picture as it is."""
    from PIL import ImageCms

    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        wanted = "L" if picture.mode == "L" else "RGB"
        # There is no grey sRGB: a grey picture goes by way of RGB.
        target = ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        return shown if wanted == "RGB" else shown.convert("L")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
