"""The kit for browsers in Debian's chromium: its codes are LiteRT's, its page is used as a person does."""

import base64
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
from dshgan_tf.export.held_out import HeldOut
from dshgan_tf.export.web_kit import export_web
from PIL import Image
from playwright.sync_api import expect
from sklearn.datasets import load_sample_images
from test_ways_in import files  # noqa: F401 - a fixture: one picture in many forms

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.images import picture_files, preprocessing
from dshgan_tf.search.litert_encoder import LiteRTEncoder

BROWSER = runpy.run_path(str(Path(__file__).parent.parent.parent / "benchmarks" / "browser.py"))
served, opened, hashed, png = (BROWSER[name] for name in ("served", "opened", "hashed", "png"))


PARTS = ("roof", "gate", "wall", "leaves", "petals", "stalk")  # three of each photograph, from left to right


def crops(count, seed, side=128, jitter=70):
    """Cut squares out of three parts of a photograph of a temple and three of one of a flower, and say of which."""
    rng, photographs = np.random.default_rng(seed), load_sample_images().images
    labels = np.arange(count) % len(PARTS)
    corners = [
        (150 + rng.integers(-jitter, jitter), 90 + 165 * (i % 3) + rng.integers(-jitter, jitter)) for i in labels
    ]
    cut = [photographs[i // 3][y : y + side, x : x + side] for i, (y, x) in zip(labels, corners, strict=True)]
    return np.stack(cut), labels


def shrunk(images):
    return np.stack([preprocessing.to_uint8(preprocessing.resize(image, 32, 32)) for image in images])


@pytest.fixture(scope="module")
def digits_kit(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("digits") / "kit"
    assert main(["export", str(trained), "--format", "web", "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def photo_kit(tmp_path_factory):
    """An encoder that tells parts of two photographs apart."""
    keras.utils.set_random_seed(7)
    images, labels = crops(600, seed=0)
    splits = dsh.data.from_arrays(shrunk(images), labels, queries_per_class=20, labels_per_class=40)
    network = dsh.Network(width=16, ground=90)
    model = dsh.DSHGAN(
        num_bits=24, num_classes=len(PARTS), image_shape=(32, 32, 3), method="supervised", network=network
    )
    model.compile()
    model.fit(dsh.data.triplets(splits, batch_size=32, seed=0), epochs=50, verbose=0)
    output = tmp_path_factory.mktemp("photos") / "kit"
    export_web(model, output, HeldOut.from_splits(model, splits), {})
    return output


def differing(kit, variant, kind, contents, expected_pixels):
    """Return the number of bits in which the browser's codes differ from LiteRT's, and codes of the browser."""
    encoder = LiteRTEncoder(kit / f"encoder_{variant}.tflite")
    with served(kit) as url, opened(url) as page:
        codes, _ = hashed(page, variant, [(kind, data) for data in contents])
    return int(np.bitwise_count(codes ^ encoder.encode(expected_pixels)).sum()), codes


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_digits_have_the_codes_of_litert(digits_kit, variant):
    images = dsh.data.load("digits").query.images
    different, codes = differing(digits_kit, variant, "image/png", [png(image) for image in images], images)
    assert (len(images), different) == (200, 0) and len(np.unique(codes, axis=0)) >= 10


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_photographs_have_the_codes_of_litert(photo_kit, variant):
    """Larger than the encoder's input: the browser resizes as we do."""
    images, _ = crops(200, seed=1)
    contents = [png(image) for image in images]
    different, codes = differing(photo_kit, variant, "image/png", contents, shrunk(images))
    assert different == 0 and len(np.unique(codes, axis=0)) >= len(PARTS)


def test_jpeg_files_differ_in_few_bits_by_the_decoder(photo_kit, tmp_path):
    images, _ = crops(200, seed=2)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i:03}.jpg", quality=90)
    paths = sorted(tmp_path.iterdir())
    small = np.stack([preprocessing.to_uint8(picture_files.read_image(path, (32, 32, 3))) for path in paths])
    contents = [path.read_bytes() for path in paths]
    different, _ = differing(photo_kit, "float32", "image/jpeg", contents, small)
    assert different <= 0.005 * 200 * 24


PIXELS = """async ([text, type, shape]) => {
  const {channelsOf, decode, resize} = await import("./pixels.js");
  const image = await decode(new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], {type}));
  const pixels = channelsOf(image, shape[2]);
  return Array.from(resize(pixels, [image.height, image.width, shape[2]], shape[0], shape[1]));
}"""


def pixels_in(page, contents, kind, shape):
    return np.array(page.evaluate(PIXELS, [base64.b64encode(contents).decode(), kind, list(shape)])).reshape(shape)


def test_resizing_is_that_of_python(digits_kit):
    """But for sums of floats that end within a millionth of a half, which another order rounds to the other side."""
    rng, pixels, different = np.random.default_rng(0), 0, 0
    with served(digits_kit) as url, opened(url) as page:
        for _ in range(40):
            height, width = rng.integers(1, 90, 2)
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            shape = (*rng.integers(1, 60, 2).tolist(), int(rng.choice([1, 3])))
            exact = picture_files.to_image(Image.fromarray(image), shape)
            off = pixels_in(page, png(image), "image/png", shape) - preprocessing.to_uint8(exact).astype(int)
            assert np.abs(off).max() <= 1 and (np.abs(exact % 1 - 0.5)[off != 0] < 1e-4).all(), shape
            pixels, different = pixels + off.size, different + int((off != 0).sum())
    assert pixels > 50_000 and different <= pixels / 2_000


def test_one_picture_in_many_forms_has_the_pixels_of_python(digits_kit, files):  # noqa: F811
    """Every EXIF rotation, grey, transparent, progressive and large ones. CMYK without a profile is anyone's guess."""
    shape = (24, 24, 3)
    with served(digits_kit) as url, opened(url) as page:
        for path in files:
            kind = "image/png" if path.suffix == ".png" else "image/jpeg"
            found = pixels_in(page, path.read_bytes(), kind, shape)
            expected = preprocessing.to_uint8(picture_files.read_image(path, shape)).astype(int)
            assert np.abs(found - expected).max() <= (12 if path.stem == "cmyk" else 2), path.name


def test_what_is_transparent_shows_the_ground(digits_kit, photo_kit, tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    contents = (tmp_path / "half.png").read_bytes()
    with served(digits_kit) as url, opened(url) as page:
        found = pixels_in(page, contents, "image/png", (8, 8, 1))[..., 0]
    assert (found[:4] == 0).all() and (found[4:] == 255).all()
    encoder = LiteRTEncoder(photo_kit / "encoder_float32.tflite")
    with served(photo_kit) as url, opened(url) as page:
        codes, _ = hashed(page, "float32", [("image/png", contents)])
    assert encoder.ground == 90
    np.testing.assert_array_equal(codes[0], encoder.encode_file(tmp_path / "half.png"))
    over_white = preprocessing.to_uint8(picture_files.read_image(tmp_path / "half.png", (32, 32, 3)))
    assert (codes[0] != encoder.encode(over_white[None])[0]).any()


def test_threads_give_the_same_codes(photo_kit):
    images, _ = crops(40, seed=3)
    contents = [("image/png", png(image)) for image in images]
    with served(photo_kit, isolated=True) as url, opened(url) as page:
        assert page.evaluate("crossOriginIsolated")
        assert page.evaluate("typeof SharedArrayBuffer") == "function"
        codes, _ = hashed(page, "int8", contents)
    np.testing.assert_array_equal(codes, LiteRTEncoder(photo_kit / "encoder_int8.tflite").encode(shrunk(images)))


def test_the_page(photo_kit, tmp_path):
    images, labels = crops(30, seed=4)
    paths = [tmp_path / f"{PARTS[label]}{i}.png" for i, label in enumerate(labels)]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(png(image))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with served(photo_kit) as url, opened(url) as page:
        expect(page.locator("#status")).to_have_text("Ready.", timeout=60_000)
        expect(page.locator("header")).to_contain_text("a code of 24 bits")
        page.set_input_files("#files", [*paths, tmp_path / "broken.jpg"])
        expect(page.locator("#status")).to_have_text("30 of 31 pictures added.", timeout=60_000)
        expect(page.locator("#refused")).to_contain_text("broken.jpg was not taken: ")
        expect(page.get_by_role("heading", name="30 pictures are kept")).to_be_visible()
        # Kept by the browser, and searched by a click.
        page.reload()
        expect(page.locator("#all button")).to_have_count(30)
        page.locator("#all button", has_text="leaves9.png").click()
        expect(page.get_by_role("heading", name="Nearest to leaves9.png")).to_be_in_viewport()
        remarks = page.locator("#nearest .remark").all_inner_texts()
        names = page.locator("#nearest .name").all_inner_texts()
        distances = [int(remark.split()[0]) for remark in remarks[1:]]
        assert (remarks[0], names[0], len(names)) == ("the query", "leaves9.png", 13)
        assert distances == sorted(distances) and sum(name.startswith("leaves") for name in names[1:5]) == 4
        page.screenshot(path=tmp_path / "page.png")
        page.get_by_role("button", name="Forget all").click()
        expect(page.locator("#all button")).to_have_count(0)
        page.reload()
        expect(page.locator("#status")).to_have_text("Ready.", timeout=60_000)
        expect(page.locator("#all button")).to_have_count(0)
