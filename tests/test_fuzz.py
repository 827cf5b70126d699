"""Damaged and hostile files: an error of ours that names the file, or a good result, 1,000 times a kind."""

import dataclasses
import io
import json
import os
import random
import warnings
import zipfile

import numpy as np
import pillow_heif
import pytest
import tensorflow as tf
from dshgan_tf.training.presets import PRESETS
from PIL import Image, ImageCms

import dshgan_tf as dsh
from dshgan_tf.data import read_splits
from dshgan_tf.images.decoding import decode_images
from dshgan_tf.images.picture_files import read_image
from dshgan_tf.search.image_manifest import read_manifest

TIMES = 1000
ODD = [
    None,
    True,
    -1,
    0,
    3,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 1000,
    "../../etc/passwd",
    "\x00",
    [],
    {},
    [[1]],
]


def damaged(content, rng):
    """Bytes cut off, changed, doubled or put in."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del data[place:]
        elif kind == 1:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.randrange(20))
        elif kind == 3:
            data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"])
        else:
            data += data[place:]
        if not data:
            break
    return bytes(data)


def odd_json(value, rng):
    """The same structure with a value exchanged, a key gone, or one too many; sometimes damaged as text."""
    if rng.random() < 0.2:
        return damaged(json.dumps(value).encode(), rng)
    changed = json.loads(json.dumps(value))
    place = changed
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.6:
            place = place[key]
            continue
        break
    kind = rng.randrange(3)
    if kind == 0:
        place[key] = rng.choice(ODD)
    elif kind == 1:
        del place[key]
    elif isinstance(place, dict):
        place[rng.choice(["", "extra", "__class__"])] = rng.choice(ODD)
    else:
        place.append(rng.choice(ODD))
    return json.dumps(changed).encode()


def try_all(path, inputs, use):
    """Return how many were good; anything but a ValueError that names the file is a failure."""
    good = 0
    for i, content in enumerate(inputs):
        path.write_bytes(content)
        try:
            use(path)
            good += 1
        except ValueError as error:
            assert path.name in str(error), (i, error)
        except Exception as error:
            pytest.fail(f"input {i} ({content[:80]!r}...): {type(error).__name__}: {error}")
    return good


def test_configs(tmp_path):
    rng = random.Random(1)
    config = json.loads(json.dumps(dataclasses.asdict(PRESETS["digits"])))
    good = try_all(tmp_path / "config.json", (odd_json(config, rng) for _ in range(TIMES)), dsh.RunConfig.load)
    assert 20 < good < TIMES / 2  # a key that is gone is its default, and some odd values are allowed


def test_splits(tmp_path, digits):
    rng = random.Random(2)
    images, labels = np.zeros((30, 8, 8, 1), np.uint8), np.arange(30) % 3
    splits = dsh.data.from_arrays(images, labels, queries_per_class=2, labels_per_class=3)
    inputs = (odd_json(splits.describe(), rng) for _ in range(TIMES))
    good = try_all(tmp_path / "splits.json", inputs, lambda path: read_splits(path, images, labels))
    assert good < TIMES / 2


def test_index_files(tmp_path):
    rng = random.Random(3)
    index = dsh.HammingIndex(12)
    codes = np.zeros((20, 2), np.uint8)
    index.add(codes)
    index.save(tmp_path / "good.index")
    content = (tmp_path / "good.index").read_bytes()

    def search(path):
        loaded = dsh.HammingIndex.load(path)
        if len(loaded):
            loaded.search(np.zeros((1, loaded.num_bits // 8 + bool(loaded.num_bits % 8)), np.uint8), k=1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, about two members of one name
        try_all(tmp_path / "odd.index", (damaged(content, rng) for _ in range(TIMES)), search)


def test_manifests_of_indexes(tmp_path):
    rng = random.Random(7)
    manifest = {
        "format": "dshgan_tf.ImageIndex/1",
        "num_bits": 12,
        "image_shape": [8, 8, 1],
        "ground": 255,
        "class_names": ["a", "b"],
    }
    manifest |= {"multi_label": False, "model_sha256": "0" * 64, "calibration": None}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(tmp_path) == manifest
    inputs = (odd_json(manifest, rng) for _ in range(TIMES))
    assert try_all(tmp_path / "manifest.json", inputs, lambda path: read_manifest(path.parent)) < TIMES / 2


def image_files():
    """Small files of several formats and modes."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    files = []
    for kind, image in (
        ("JPEG", colours), ("JPEG", colours.convert("CMYK")), ("JPEG", colours.convert("L")), ("PNG", colours),
        ("PNG", colours.convert("RGBA")), ("PNG", colours.convert("P")), ("GIF", colours), ("WEBP", colours),
        ("TIFF", colours), ("BMP", colours), ("PNG", colours.convert("I;16")),
    ):  # fmt: skip
        image.save(buffer := io.BytesIO(), kind)
        files.append((kind, buffer.getvalue()))
    return files


def test_image_files(tmp_path):
    rng = random.Random(4)
    files = [content for _, content in image_files()]

    def read(path):
        image = read_image(str(path), (8, 8, 3))
        assert image.shape == (8, 8, 3) and 0 <= image.min() and image.max() <= 255

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
        for content in files:
            (tmp_path / "whole").write_bytes(content)
            read(tmp_path / "whole")
        inputs = (damaged(rng.choice(files), rng) for _ in range(TIMES))
        good = try_all(tmp_path / "image", inputs, read)
    assert 20 < good < TIMES


def newer_files():
    """A small file of each kind that needs more than decoding: other codecs, profiles, depths, transparency."""
    pillow_heif.register_heif_opener()
    rng = np.random.default_rng(1)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "AVIF": (colours, "AVIF", {}),
        "HEIC": (colours, "HEIF", {}),
        "profile": (colours, "PNG", {"icc_profile": profile}),
        "turned": (colours, "JPEG", {"exif": exif, "progressive": True}),
        "16 bits": (Image.fromarray(rng.integers(0, 4096, (24, 20), np.uint16)), "TIFF", {}),
        "transparent": (colours.convert("P"), "GIF", {"transparency": 3}),
    }
    for name, (image, form, options) in kinds.items():
        image.save(buffer := io.BytesIO(), form, **options)
        yield pytest.param(buffer.getvalue(), id=name)


@pytest.mark.parametrize("content", [*newer_files()])
def test_newer_image_files(content, tmp_path):
    rng = random.Random(7)

    def read(path):
        image = read_image(str(path), (8, 8, 3))
        assert image.shape == (8, 8, 3) and 0 <= image.min() and image.max() <= 255

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
        (tmp_path / "whole").write_bytes(content)
        read(tmp_path / "whole")
        good = try_all(tmp_path / "image", (damaged(content, rng) for _ in range(TIMES)), read)
    assert good < TIMES


def test_image_bytes_in_the_graph():
    rng = random.Random(5)
    files = [content for kind, content in image_files() if kind in ("JPEG", "PNG")]
    files += [parameter.values[0] for parameter in newer_files() if parameter.id in ("profile", "turned")]
    decode = tf.function(
        lambda contents: decode_images(contents, (8, 8, 3)), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    good = 0
    for _ in range(TIMES):
        try:
            images = decode(tf.constant([damaged(rng.choice(files), rng)])).numpy()
            assert images.shape == (1, 8, 8, 3) and 0 <= images.min() and images.max() <= 255
            good += 1
        except tf.errors.InvalidArgumentError:  # what a server answers as "invalid argument"
            pass
    assert 20 < good < TIMES


def test_damaged_models_are_refused(model, tmp_path):
    rng = random.Random(6)
    model.save(tmp_path / "good.keras")
    content = (tmp_path / "good.keras").read_bytes()
    for _ in range(20):  # each takes a while to build
        cut = content[: rng.randrange(len(content))]
        (tmp_path / "odd.keras").write_bytes(cut)
        with pytest.raises(ValueError, match="cannot load .*odd.keras"):
            dsh.load_model(tmp_path / "odd.keras")


def test_odd_models_are_refused_or_load(tmp_path):
    # Each that loads is built, so there are fewer; `make soak` tries 1,000.
    times = int(os.environ.get("DSHGAN_MODELS", "25"))
    model = dsh.DSHGAN(
        num_bits=4, num_classes=3, image_shape=(4, 4, 1), method="dsh-gan", network=dsh.Network(width=1, noise_dim=2)
    )
    model.compile()
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config, rng = json.loads(members["config.json"]), random.Random(8)

    def archives():
        for _ in range(times):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for name, content in (members | {"config.json": odd_json(config, rng)}).items():
                    archive.writestr(name, content)
            yield buffer.getvalue()

    def load(path):
        loaded = dsh.load_model(path)
        size = -(-loaded.num_bits // 8)
        assert loaded.encode(np.zeros((2, *loaded.image_shape), np.uint8)).shape == (2, size)

    assert 0 < try_all(tmp_path / "odd.keras", archives(), load) < times


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"network": {"width": 10**9}}, "width"),
        ({"num_bits": 10**9}, "num_bits"),
        ({"image_shape": (10**6, 10**6, 3)}, "image_shape"),
        ({"num_classes": True}, "num_classes"),
        ({"network": "small"}, "network"),
    ],
)
def test_sizes_that_no_machine_has_are_refused_before_they_are_made(change, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        dsh.DSHGAN(**({"num_bits": 4, "num_classes": 3, "image_shape": (4, 4, 1)} | change))
