import numpy as np
import pytest

from dshgan_tf.images import picture_files, preprocessing


def test_pixels_are_rounded_and_clipped():
    np.testing.assert_array_equal(
        preprocessing.to_uint8([-3.0, 0.4, 0.6, 127.4, 254.6, 300.0]), [0, 0, 1, 127, 255, 255]
    )


def test_resize_weights_by_hand():
    # Two pixels to four, half-pixel centres at -0.25, 0.25, 0.75, 1.25; outside repeats the border.
    np.testing.assert_allclose(preprocessing.resize_weights(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    # Four to two: centres 0.5 and 2.5, triangle of half width 2: (0.75, 0.75, 0.25, 0) / 1.75.
    np.testing.assert_allclose(preprocessing.resize_weights(4, 2)[0], np.array([3, 3, 1, 0]) / 7, rtol=1e-6)
    with pytest.raises(ValueError, match="0 -> 3"):
        preprocessing.resize_weights(0, 3)


def test_resize_equals_pillow():
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (37, 23), np.uint8)
    for size in ((8, 8), (64, 50), (37, 23)):
        theirs = np.asarray(
            Image.fromarray(picture.astype(np.float32), "F").resize(size[::-1], Image.Resampling.BILINEAR)
        )
        np.testing.assert_allclose(preprocessing.resize(picture[..., None], *size)[..., 0], theirs, atol=1e-3)


def test_reading_rotates_and_converts(tmp_path):
    from PIL import Image

    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, :3] = [255, 0, 0]
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    read = picture_files.read_image(str(tmp_path / "turned.png"), (4, 6, 3))
    np.testing.assert_array_equal(read, picture[::-1, ::-1])
    assert picture_files.read_image(str(tmp_path / "turned.png"), (2, 3, 1)).shape == (2, 3, 1)
