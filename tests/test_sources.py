"""Own data in every form: folders, tables, NUS-WIDE's own files; what is broken is named once and left out."""

import dataclasses
import io
import json
import random
import shutil
import struct
import zlib

import numpy as np
import pyarrow
import pytest
import tensorflow_datasets as tfds
from dshgan_tf.training.data_summary import what_the_data_are
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate
from PIL import Image
from pyarrow import parquet
from test_fuzz import damaged, try_all

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.data import PROTOCOLS, Protocol
from dshgan_tf.data.folder import list_folder
from dshgan_tf.data.listing import Listing
from dshgan_tf.data.nuswide import list_nuswide
from dshgan_tf.data.pictures import decode, find_shape
from dshgan_tf.data.sources import read
from dshgan_tf.data.table import list_table
from dshgan_tf.data.tfds import _labels
from dshgan_tf.run import Run, load_data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(seed, size=(12, 12), mode="RGB"):
    """A picture that no other seed has, its first pixel's red being the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    pixels[0, 0] = seed % 256
    return Image.fromarray(pixels).convert(mode)


def write_folder(root, classes=3, each=8, unlabelled=4):
    for i in range(classes * each):
        folder = root / f"class{i % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        picture(i).save(folder / f"{i:03d}.png")
    for i in range(unlabelled):
        picture(100 + i).save(root / f"{100 + i}.png")
    return root


def png_bomb():
    """A small file that says it holds 40,000 x 40,000 pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def write_broken(folder):
    """Ten kinds of broken files; returns their names."""
    whole = folder.parent / "whole.png"
    picture(1, (40, 40)).save(whole)
    png = whole.read_bytes()
    picture(1, (40, 40)).save(whole.with_suffix(".jpg"))
    jpeg = whole.with_suffix(".jpg").read_bytes()
    whole.unlink()
    whole.with_suffix(".jpg").unlink()
    contents = {
        "empty.png": b"", "cut.png": png[: len(png) // 2], "header.jpg": jpeg[:20], "text.jpg": b"<html>gone</html>",
        "zeros.png": bytes(500), "wrong_magic.png": b"\x00" + png[1:], "bomb.png": png_bomb(),
        "chunk.png": png[:40] + b"\xff" * 30 + png[70:], "nothing.gif": b"GIF89a",
        "riff.webp": b"RIFF\x00\x00\x00\x00WEBP",
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return sorted(contents)


def test_a_folder_is_classes_and_unlabelled_images(tmp_path):
    source = read("folder", str(write_folder(tmp_path / "data")))
    assert source.class_names == ("class0", "class1", "class2") and source.images.shape == (28, 12, 12, 3)
    assert isinstance(source.images, np.memmap)
    # Pixel and label belong together: the first pixel is the number of the picture, the class is that modulo 3.
    numbers = source.images[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(source.labels, np.where(numbers >= 100, -1, numbers % 3))
    splits = dsh.data.load("folder", data_dir=str(tmp_path / "data"), seed=1)
    assert len(splits.unlabeled) == 4 and len(splits.query) == 3 and splits.query.images[:].dtype == np.uint8
    for part in (splits.query, splits.database, splits.labeled):
        np.testing.assert_array_equal(part.images[:][:, 0, 0, 0] % 3, part.labels)


def test_tables_in_both_formats_with_several_labels(tmp_path):
    root = write_folder(tmp_path / "data")
    rows = [("class0/000.png", "red|round"), ("class1/001.png", " round "), ("class2/002.png", "red"), ("100.png", "")]
    (root / "table.csv").write_text("path,labels\n" + "".join(f'"{path}","{labels}"\n' for path, labels in rows))
    columns = {"path": [row[0] for row in rows], "labels": [row[1] or None for row in rows]}
    parquet.write_table(pyarrow.table(columns), root / "table.parquet")
    for name in ("table.csv", "table.parquet"):
        source = read("table", str(root / name))
        assert source.class_names == ("red", "round")
        np.testing.assert_array_equal(source.labels, [[1, 1], [0, 1], [1, 0], [0, 0]])
        np.testing.assert_array_equal(source.images[:, 0, 0, 0], [0, 1, 2, 100])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,labels\na.png,x\n", "no column 'path'"),
        ("path,labels\n../../etc/passwd,x\na.png,y\n", "no path inside"),
        ("path,labels\n/etc/passwd,x\na.png,y\n", "no path inside"),
        ("path,labels\na.png,x\na.png,y\n", "stands more than once"),
        ("path,labels\na.png,x\n", "has 1 classes"),
        ('path,labels\n"a.png,x\n', "cannot read"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, content, message):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        list_table(tmp_path / "table.csv")
    assert "table.csv" in str(caught.value)


def test_a_thousand_damaged_tables_and_ground_truths(tmp_path):
    rng = random.Random(7)
    content = "path,labels\n" + "".join(f"{i}.png,{'|'.join('abc'[: i % 3 + 1])}\n" for i in range(30))
    try_all(tmp_path / "odd.csv", (damaged(content.encode(), rng) for _ in range(1000)), list_table)
    parquet.write_table(pyarrow.table({"path": ["a", "b"], "labels": ["x", "y"]}), tmp_path / "good.parquet")
    content = (tmp_path / "good.parquet").read_bytes()
    try_all(tmp_path / "odd.parquet", (damaged(content, rng) for _ in range(1000)), list_table)
    root = write_nuswide(tmp_path / "nus", 10)
    truth = next(root.rglob("Labels_sky.txt"))
    content = truth.read_bytes()
    try_all(truth, (damaged(content, rng) for _ in range(1000)), lambda path: list_nuswide(root, 2))


CONCEPTS = ("animal", "beach", "clouds", "sky")


def write_nuswide(root, count, split=False):
    """NUS-WIDE's layout; image i has concept c where bit c of i is set."""
    for folder in ("ImageList", "ConceptsList", "Groundtruth/AllLabels", "Groundtruth/TrainTestLabels", "Flickr/actor"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ConceptsList/Concepts81.txt").write_text("".join(f"{concept}\n" for concept in CONCEPTS))
    names = [f"actor\\{i:04d}_{i}.jpg" for i in range(count)]
    parts = {"": range(count)} if not split else {"_Train": range(0, count, 2), "_Test": range(1, count, 2)}
    if split:
        (root / "Groundtruth/AllLabels").rmdir()
    for ending, members in parts.items():
        (root / f"ImageList/{ending[1:]}Imagelist.txt").write_text("".join(f"{names[i]}\r\n" for i in members))
        folder = "TrainTestLabels" if split else "AllLabels"
        for c, concept in enumerate(CONCEPTS):
            text = "".join(f"{i >> c & 1}\n" for i in members)
            (root / f"Groundtruth/{folder}/Labels_{concept}{ending}.txt").write_text(text)
    for i in range(count):
        picture(i, (16, 20)).save(root / "Flickr" / names[i].replace("\\", "/"), quality=100)
    return root


@pytest.mark.parametrize("split", [False, True])
def test_nuswide_by_hand(tmp_path, split):
    # Of 0..10, bit 0 is set in 5 numbers, bit 1 in 5 (2 3 6 7 10), bit 2 in 4 (4 5 6 7), bit 3 in 3 (8 9 10).
    root = write_nuswide(tmp_path / "nus", 11, split)
    (root / "Flickr/actor/0006_6.jpg").unlink()
    listing = list_nuswide(root, 2)
    assert listing.class_names == ("animal", "beach")  # the two most frequent, in the order of Concepts81.txt
    expected = {i: tuple(c for bit, c in enumerate(CONCEPTS[:2]) if i >> bit & 1) for i in (1, 2, 3, 5, 7, 9, 10)}
    found = {int(name[6:10]): labels for name, labels in zip(listing.names, listing.labels, strict=True)}
    assert found == expected and listing.skipped == {"actor/0006_6.jpg": "missing"}
    assert list_nuswide(root, 4).class_names == list_nuswide(root, 21).class_names == CONCEPTS
    with pytest.raises(ValueError, match="concepts must be at least 2"):
        list_nuswide(root, 1)
    next(root.rglob("Labels_sky*.txt")).write_text("1\n")
    with pytest.raises(ValueError, match="1 lines for"):
        list_nuswide(root, 2)


def test_flickrs_placeholder_is_skipped(tmp_path):
    root = write_nuswide(tmp_path / "nus", 40)
    gone = [root / f"Flickr/actor/{i:04d}_{i}.jpg" for i in (1, 4, 7, 10, 13, 19)]
    for path in gone:
        picture(255).save(path)
    source = read("nuswide", str(root), concepts=4)
    assert sorted(source.skipped) == sorted(f"actor/{path.name}" for path in gone)
    assert all("placeholder" in reason for reason in source.skipped.values())
    assert len(source.images) == len(source.labels) == 37 - len(gone)  # 0, 16 and 32 have no concept


def write_tfds(data_dir, files, several=False):
    """A data set in TFDS' own files, as its users make them, of image files' contents, in two splits."""
    classes = tfds.features.ClassLabel(names=["red", "green", "blue"])
    features = {
        "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "kind": tfds.features.Sequence(classes) if several else classes,
        "weight": np.float32,
    }

    def examples(first):
        for i in range(first, len(files), 2):
            kind = [i % 3] + ([2] if i % 3 == 0 else []) if several else i % 3
            yield f"{i:05d}", {"picture": io.BytesIO(files[i]), "kind": kind, "weight": 1.0}

    tfds.dataset_builders.store_as_tfds_dataset(
        name="own",
        version="1.0.0",
        data_dir=data_dir,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(examples(0)), "test": list(examples(1))},
        disable_shuffling=True,
    )


def contents(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("several", [False, True])
def test_any_data_set_of_tfds(tmp_path, several):
    write_tfds(tmp_path / "tfds", [contents(picture(i)) for i in range(30)], several)
    fields = {"data_dir": str(tmp_path / "tfds"), "fields": ("picture", "kind")}
    source = read("tfds:own", **fields)
    numbers = source.images[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(numbers, [*range(1, 30, 2), *range(0, 30, 2)])  # test, then train
    assert source.class_names == ("red", "green", "blue") and isinstance(source.images, np.memmap)
    if several:
        ones = [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
        np.testing.assert_array_equal(source.labels, [ones[number % 3] for number in numbers])
    else:
        np.testing.assert_array_equal(source.labels, numbers % 3)
    # Made anew under the same name and version, it is read anew.
    shutil.rmtree(tmp_path / "tfds")
    write_tfds(tmp_path / "tfds", [contents(picture(100 + i)) for i in range(30)], several)
    assert sorted(read("tfds:own", **fields).images[:, 0, 0, 0]) == list(range(100, 130))
    with pytest.raises(ValueError, match="no field 'image'; give one of kind, picture, weight as image_field"):
        read("tfds:own", fields["data_dir"])
    with pytest.raises(ValueError, match="'weight' holds no classes"):
        read("tfds:own", **(fields | {"fields": ("picture", "weight")}))
    with pytest.raises(ValueError, match="cannot read data set 'nothing' of TFDS: Dataset nothing not found"):
        read("tfds:nothing", fields["data_dir"])


def with_broken(form, root):
    """190 good images and 10 broken ones, one of each kind, in a form; returns its flags and the broken ones' names."""
    if form == "folder":
        write_folder(root, each=60, unlabelled=10)
        return {"data_dir": str(root)}, [f"class1/{name}" for name in write_broken(root / "class1")]
    if form in ("csv", "parquet"):
        write_folder(root, each=60, unlabelled=10)
        names = write_broken(root / "class1")
        files = sorted(path.relative_to(root).as_posix() for path in [*root.rglob("class*/*.*"), *root.glob("*.png")])
        labels = [name.rpartition("/")[0] for name in files]  # none for those that lie in the folder itself
        if form == "csv":
            lines = "".join(f"{name},{label}\n" for name, label in zip(files, labels, strict=True))
            (root / "table.csv").write_text("path,labels\n" + lines)
        else:
            parquet.write_table(pyarrow.table({"path": files, "labels": labels}), root / "table.parquet")
        return {"data_dir": str(root / f"table.{form}")}, [f"class1/{name}" for name in names]
    folder = root / "broken"
    folder.mkdir(parents=True)
    files = [(folder / name).read_bytes() for name in write_broken(folder)]
    if form == "nuswide":
        write_nuswide(root, 201)
        broken = [f"actor/{i:04d}_{i}.jpg" for i in range(1, 201, 20)]
        for name, content in zip(broken, files, strict=True):
            (root / "Flickr" / name).write_bytes(content)
        return {"data_dir": str(root), "labels_per_class": 10}, broken
    good = [contents(picture(i)) for i in range(190)]
    write_tfds(root, [*files, *good])
    fields = {"dataset": "tfds:own", "image_field": "picture", "label_field": "kind"}
    return {"data_dir": str(root), **fields}, [f"{split}/{i}" for split in ("train", "test") for i in range(5)]


@pytest.mark.parametrize("form", ["folder", "csv", "parquet", "tfds", "nuswide"])
def test_ten_kinds_of_broken_files_are_named_once_and_the_run_finishes(form, tmp_path, capsys, monkeypatch):
    # The paper's numbers are for 2,100 queries: here 4 concepts of 201 images.
    monkeypatch.setitem(PROTOCOLS, "nuswide-21", Protocol("nuswide-21", queries_per_class=5, labels_per_class=10))
    flags, broken = with_broken(form, tmp_path / "data")
    sizes = {"num_bits": 8, "network": dsh.Network(width=4), "steps": 4, "steps_per_epoch": 2, "batch_size": 16}
    preset = {"csv": "table", "parquet": "table"}.get(form, form)
    method = "dsh-gan" if form in ("nuswide", "tfds") else None  # several labels, and colours
    config = dataclasses.replace(PRESETS[preset], method=method, **sizes, **flags)
    results = train_and_evaluate(config, tmp_path / "run", verbose=2)
    printed = capsys.readouterr().out
    assert "10 files could not be used" in printed and " cannot read as an image" in printed
    assert sorted(json.loads((tmp_path / "run" / "splits.json").read_text())["skipped"]) == sorted(broken)
    assert results["protocol"] == {"nuswide": "nuswide-21"}.get(form, preset)
    # The split is read back from the files.
    splits = Run(tmp_path / "run").splits()
    assert len(splits.query) == results["metrics"]["num_queries"] and len(splits.query) + len(splits.database) >= 178


def test_modes_and_sizes_are_converted(tmp_path):
    root = tmp_path / "data"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    for i, mode in enumerate(("L", "RGBA", "P", "I;16", "1", "LA")):
        picture(7, mode="L" if mode == "I;16" else "RGB").convert(mode).save(root / "a" / f"{i}.png")
    picture(7).convert("CMYK").save(root / "b" / "cmyk.jpg")
    picture(7, (1, 1)).save(root / "b" / "tiny.png")
    picture(7, (300, 200)).save(root / "b" / "huge.png")
    picture(7).save(root / "b" / "moving.gif", save_all=True, append_images=[picture(8)])
    turned = Image.new("RGB", (8, 16), "black")
    turned.paste("white", (0, 0, 8, 8))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    turned.save(root / "b" / "turned.jpg", exif=exif, quality=100)
    listing = list_folder(root)
    images, kept, skipped, blank, same = decode(listing, (8, 8, 3))
    assert (0, 3, 5) in same  # one picture in grey, in three ways
    assert not skipped and len(images) == len(kept) == 11
    assert blank == ("b/tiny.png",)
    turned = images[listing.names.index("b/turned.jpg")]
    assert turned[:3].max() < 30 and turned[-3:].min() > 220
    files = [root / name for name in listing.names]
    assert find_shape(files) == (8, 8, 3) and find_shape(files, 20) == (20, 20, 3)


def test_pixels_of_32_bits_are_refused(tmp_path):
    root = write_folder(tmp_path / "data")
    Image.fromarray(np.arange(144, dtype=np.int32).reshape(12, 12) * 400).save(root / "class0" / "deep.tif")
    source = read("folder", str(root))
    assert list(source.skipped) == ["class0/deep.tif"]
    assert source.skipped["class0/deep.tif"].startswith("cannot read as an image (pixels of 32 bits")


def test_labels_of_tfds_below_zero_are_no_labels():
    several = tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"]))
    rows, names = _labels([np.array([0, -1]), np.array([], np.int64)], several)
    assert rows.tolist() == [[1, 0, 0], [0, 0, 0]] and names == ("a", "b", "c")
    with pytest.raises(ValueError, match="go up to 1000000, which is no class"):
        _labels([np.int64(3), np.int64(10**6)], tfds.features.Scalar(np.int64))


def test_decoding_is_done_once_until_a_file_changes(tmp_path):
    root = write_folder(tmp_path / "data")
    listing = list_folder(root)
    first, *_ = decode(listing, (12, 12, 3))
    files = sorted((tmp_path / "cache" / "dshgan_tf" / "images").rglob("decoded.*"))
    decode(listing, (12, 12, 3))
    assert sorted((tmp_path / "cache" / "dshgan_tf" / "images").rglob("decoded.*")) == files and len(files) == 2
    picture(50).save(root / "class0" / "000.png")
    changed, *_ = decode(listing, (12, 12, 3))
    assert changed[listing.names.index("class0/000.png"), 0, 0, 0] == 50
    assert first[listing.names.index("class0/000.png"), 0, 0, 0] == 0


def test_what_is_missing_is_said(tmp_path, capsys):
    assert main(["train", "folder", "--workdir", str(tmp_path / "run")]) == 2
    assert "needs data_dir (--data-dir)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is no folder"):
        list_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="has no Concepts81.txt"):
        list_nuswide(tmp_path)
    with pytest.raises(ValueError, match="no path inside"):
        Listing(tmp_path, ("../a.png",), (("a",),), ("a", "b"))


def test_what_a_folder_holds_besides_is_named(tmp_path):
    root = write_folder(tmp_path / "data")
    for name in ("class0/a.jxl", "class0/b.JXL", "notes.txt"):
        (root / name).write_bytes(b"x")
    Image.new("RGB", (12, 12), "black").save(root / "class0" / "blank.png")
    source = read("folder", str(root))
    assert source.skipped == {
        "class0/a.jxl": ".jxl files are not read",
        "class0/b.JXL": ".jxl files are not read",
        "notes.txt": ".txt files are not read",
    }
    assert source.blank == ("class0/blank.png",)
    again = read("folder", str(root))  # from the cache
    assert (again.skipped, again.blank) == (source.skipped, source.blank)
    splits = dsh.data.load("folder", data_dir=str(root))
    assert splits.describe()["blank"] == ["class0/blank.png"]
    _, skipped, blank = what_the_data_are(splits)
    assert skipped.startswith("3 files could not be used (2 .jxl files are not read, 1 .txt files are not read)")
    assert blank.startswith("1 pictures are blank, such as class0/blank.png")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_tells_sides_and_groups(suffix, tmp_path):
    rows = []
    for number in range(60):
        picture(number).save(tmp_path / f"{number:02d}.png")
        side = "query" if number < 12 else "train" if number < 36 else "database"
        rows.append((f"{number:02d}.png", "cat" if number % 2 else "dog", side, "" if number % 5 else f"g{number}"))
    columns = dict(zip(("path", "labels", "split", "group"), map(list, zip(*rows, strict=True)), strict=True))
    if suffix == "csv":
        lines = [",".join(row) for row in [tuple(columns), *rows]]
        (tmp_path / "table.csv").write_text("\n".join(lines))
    else:
        columns["group"] = [int(group[1:]) if group else None for group in columns["group"]]
        parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    splits = dsh.data.load("table", data_dir=str(tmp_path / f"table.{suffix}"))
    assert splits.query.ids.tolist() == list(range(12)) and splits.database.ids.tolist() == list(range(36, 60))
    source = read("table", str(tmp_path / f"table.{suffix}"))
    assert len(np.unique(source.groups)) == 60  # each without a group is one of its own
    (tmp_path / "other.csv").write_text("path,labels,split\n00.png,a,train\n01.png,b,test\n")
    with pytest.warns(UserWarning, match="split says test, train, not query, train, database; it is not used"):
        assert list_table(tmp_path / "other.csv").sides is None
    (tmp_path / "other.csv").write_text("path,labels,split\n00.png,a,query\n01.png,b,test\n")
    with pytest.raises(ValueError, match="column split says 'test'; it takes query, train, database"):
        list_table(tmp_path / "other.csv")


def test_the_size_of_images_that_are_taken_as_they_are_cannot_be_chosen():
    with pytest.raises(ValueError, match="digits has images of 8 pixels, got image_size 16; leave --image-size out"):
        read("digits", image_size=16)
    assert read("digits", image_size=8).images.shape == (1797, 8, 8, 1)
    with pytest.raises(ValueError, match="cifar10 has images of 32 pixels"):
        load_data(dataclasses.replace(PRESETS["cifar10"], image_size=96))


def test_queries_of_one_class_are_evaluated_and_drawn(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["path,labels,split"]
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{number:02d}.png")
        side = "query" if number in (0, 2) else ("train", "database")[number > 15]
        rows.append(f"{number:02d}.png,{'ab'[number % 2]},{side}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    sizes = {"num_bits": 8, "network": dsh.Network(width=2), "steps": 1, "steps_per_epoch": 1, "batch_size": 4}
    config = dataclasses.replace(PRESETS["table"], data_dir=str(tmp_path / "labels.csv"), **sizes)
    results = train_and_evaluate(config, tmp_path / "run", verbose=0)
    assert results["metrics"]["num_queries"] == 2
    assert (tmp_path / "run" / "plots" / "retrieval.png").exists()
    assert not (tmp_path / "run" / "plots" / "code_map.png").exists()  # of two codes there is no map
