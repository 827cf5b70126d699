"""An index is a folder that answers by itself: made, updated, killed, moved, searched by image and by label."""

import dataclasses
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dshgan_tf.export.index_files import make_index, write_models
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.images import picture_files
from dshgan_tf.run import Run
from dshgan_tf.search.image_index import ImageIndex
from dshgan_tf.search.image_store import Stored
from dshgan_tf.search.index_update import add_picture, update_from_folder
from dshgan_tf.search.litert_encoder import LiteRTEncoder
from dshgan_tf.search.litert_generator import BATCH, LiteRTGenerator

PROGRAM = [sys.executable, "-c", "from dshgan_tf.commands.main import entry; entry()"]
FORMATS = ("png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    # 10 labels a class: two of them are held out, for the calibration.
    folder = tmp_path_factory.mktemp("run")
    config = dataclasses.replace(
        PRESETS["digits"], method="dsh-gan", labels_per_class=10, num_bits=12, steps=60, network=dsh.Network(width=8)
    )
    train_and_evaluate(dataclasses.replace(config, steps_per_epoch=60), folder, verbose=0)
    return folder


@pytest.fixture(scope="module")
def empty(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes") / "empty.index"
    make_index(Run(run), folder)
    return folder


@pytest.fixture
def index(empty, tmp_path):
    shutil.copytree(empty, tmp_path / "my.index")
    return ImageIndex(tmp_path / "my.index", writable=True)


@pytest.fixture(scope="module")
def digits_images():
    return dsh.data.load("digits").database.images


def write(folder, images, suffix="png", first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=first):
        Image.fromarray(image[..., 0]).save(folder / f"{number:05d}.{suffix}")


def test_codes_are_those_of_keras_and_ids_are_stable(index, run, digits_images, tmp_path):
    folder = tmp_path / "photos"
    write(folder, digits_images[:30])
    update = update_from_folder(index, folder)
    assert (update.added, update.changed, update.removed, update.unchanged) == (30, 0, 0, 0)
    expected = dsh.load_model(run / "model.keras").encode(digits_images[:30])
    np.testing.assert_array_equal(index.codes.codes, expected)
    before = index.store.named()
    # One changes, one goes, one comes.
    Image.fromarray(255 - digits_images[5, ..., 0]).save(folder / "00005.png")
    os.utime(folder / "00005.png", ns=(1, 1))
    (folder / "00007.png").unlink()
    write(folder / "deep", digits_images[30:31], first=30)
    update = update_from_folder(index, folder)
    assert (update.added, update.changed, update.removed, update.unchanged) == (1, 1, 1, 28)
    after = index.store.named()
    assert after.keys() == before.keys() - {"00007.png"} | {"deep/00030.png"}
    assert all(after[name] == before[name] for name in before if name != "00007.png")
    assert after["deep/00030.png"] > max(before.values())
    changed = dsh.load_model(run / "model.keras").encode(255 - digits_images[5:6])
    place = index.codes.ids.tolist().index(after["00005.png"])
    np.testing.assert_array_equal(index.codes.codes[place], changed[0])
    # A third call finds nothing to do, and decodes nothing.
    update = update_from_folder(
        index, folder, show=lambda items, total: pytest.fail("hashed again") if total else items
    )
    assert update.unchanged == 30


def test_nothing_in_it_is_an_absolute_path(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    update_from_folder(index, tmp_path / "photos")
    for path in index.folder.rglob("*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path
        assert str(Path(dsh.__file__).parent.parent).encode() not in path.read_bytes(), path
    # Moved, without the images and the run, it still answers.
    shutil.move(index.folder, tmp_path / "elsewhere")
    moved = ImageIndex(tmp_path / "elsewhere")
    (found,) = moved.search(*moved.encode(digits_images[:1]), k=2)
    assert found[0].distance == 0 and Image.open(io.BytesIO(moved.store.thumbnails([1])[1])).size == (8, 8)


def test_files_as_people_have_them(index, digits_images, tmp_path, capsys):
    folder = tmp_path / "photos"
    for i, suffix in enumerate(FORMATS):
        write(folder, digits_images[i : i + 1], suffix, first=i)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (folder / "empty.jpg").write_bytes(b"")
    for name in ("notes.txt", "a.jxl", "b.jxl", "README"):
        (folder / name).write_text("x")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / os.fsdecode(b"odd-\xff.png")).write_bytes((folder / "00000.png").read_bytes())
    update = update_from_folder(index, folder)
    assert update.added == len(FORMATS) + 1 and set(update.broken) == {"broken.png", "empty.jpg"}
    assert update.foreign == {".jxl": 2, ".txt": 1, "no suffix": 1}
    assert str(folder) not in "".join(update.broken.values())
    # The file that was broken is mended.
    (folder / "broken.png").write_bytes((folder / "00000.png").read_bytes())
    update = update_from_folder(index, folder)
    assert update.changed == 1 and set(update.broken) == {"empty.jpg"}
    assert os.fsdecode(b"odd-\xff.png") in index.store.named()


def test_a_file_that_could_not_be_read_once_is_tried_again(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    path = tmp_path / "photos" / "00001.png"
    contents, status = path.read_bytes(), path.stat()
    path.write_bytes(b"x" * len(contents))  # what a file server may give: another content, the same size and time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    update = update_from_folder(index, tmp_path / "photos")
    assert update.broken.keys() == {"00001.png"} and update.added == 2
    path.write_bytes(contents)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    update = update_from_folder(index, tmp_path / "photos")
    assert not update.broken and (update.changed, update.unchanged, len(index)) == (1, 2, 3)


def test_reasons_name_no_path_of_this_machine(index, digits_images, tmp_path, monkeypatch):
    write(tmp_path / "photos", digits_images[:1])
    Image.new("L", (picture_files.MAX_SIDE + 1, 1)).save(tmp_path / "photos" / "wide.png")
    (tmp_path / "photos" / "cut.png").write_bytes((tmp_path / "photos" / "00000.png").read_bytes()[:40])
    update = update_from_folder(index, tmp_path / "photos")
    assert set(update.broken) == {"wide.png", "cut.png"}
    assert str(tmp_path) not in "".join(update.broken.values())


def test_two_writers_wait_for_each_other_and_lose_nothing(index, digits_images, tmp_path):
    other = ImageIndex(index.folder, writable=True)
    names = iter(range(10_000))

    def add(target):
        for _ in range(25):
            code = np.zeros(2, np.uint8)
            target.store.put([Stored(f"{next(names)}.png", "added", code=code, probabilities=np.ones(10))])
            target.save_codes()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, (index, other)))
    assert index.store.generation() == 50
    fresh = ImageIndex(index.folder)
    assert len(fresh) == len(fresh.codes) == 50
    assert len(list(index.folder.glob("codes-*.index"))) == 1


def test_a_search_goes_on_after_a_writer_was_killed_within_a_change(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    update_from_folder(index, tmp_path / "photos")
    index.store.close()
    # A process that dies within a transaction, its pages half written, leaves a hot journal.
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.executemany("INSERT INTO images (name, origin, thumbnail) VALUES (?, 'added', ?)",
                       [(str(i), b"x" * 5000) for i in range(200)])
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", code, str(index.folder / "images.sqlite")], check=False)
    assert (index.folder / "images.sqlite-journal").exists()
    opened = ImageIndex(index.folder)
    assert len(opened) == 3 and len(opened.codes) == 3
    assert opened.search(*opened.encode(digits_images[:1]), k=1)[0][0].distance == 0


def test_an_index_that_cannot_be_written_is_searched(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    update_from_folder(index, tmp_path / "photos")
    read_only = ImageIndex(index.folder)
    with pytest.raises(OSError, match="cannot change .*images.sqlite"):
        add_picture(read_only, "mine.png", (tmp_path / "photos" / "00000.png").read_bytes())
    assert len(read_only.search(*read_only.encode(digits_images[:1]), k=5)[0]) == 3


def test_names_that_look_like_markup_or_are_no_text(index, digits_images, tmp_path, capsys):
    folder = tmp_path / "photos"
    write(folder, digits_images[:1])
    contents = (folder / "00000.png").read_bytes()
    for name in ("a[", "[red]holiday[/red].png", os.fsdecode(b"odd-\xff.png")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(contents) if name.endswith("png") else (folder / name).mkdir()
    (folder / "a[" / "b].png").write_bytes(contents)
    update_from_folder(index, folder)
    query = str(folder / "[red]holiday[/red].png")
    assert main(["search", str(index.folder), query, "--picture", str(tmp_path / "x.png")]) == 0
    printed = capsys.readouterr().out
    for name in ("[red]holiday[/red].png", "a[/b].png", "odd-\\udcff.png"):
        assert name in printed, name
    assert main(["encode", str(index.folder), str(folder / os.fsdecode(b"odd-\xff.png"))]) == 0


def test_a_search_starts_no_tensorflow(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    update_from_folder(index, tmp_path / "photos")
    code = """
import sys
from dshgan_tf.images import picture_files
from dshgan_tf.commands.main import main
assert main(sys.argv[1:]) == 0
heavy = {"tensorflow", "keras", "numba", "scipy", "sklearn", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    query = str(tmp_path / "photos" / "00000.png")
    for more in ([query, "--picture", str(tmp_path / "x.png")], ["--labels", "3"], [query, "--precision", "0.01"]):
        command = [sys.executable, "-c", code, "search", str(index.folder), *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_another_folder_is_refused_before_everything_is_dropped(index, digits_images, tmp_path):
    write(tmp_path / "one", digits_images[:3])
    write(tmp_path / "other", digits_images[3:6], first=100)
    update_from_folder(index, tmp_path / "one")
    with pytest.raises(dsh.InputError, match="none of them is in .*other"):
        update_from_folder(index, tmp_path / "other")
    with pytest.raises(dsh.InputError, match="is no folder"):
        update_from_folder(index, tmp_path / "nowhere")
    assert len(index) == 3


def test_images_added_by_hand_stay(index, digits_images, tmp_path):
    write(tmp_path / "photos", digits_images[:3])
    update_from_folder(index, tmp_path / "photos")
    contents = (tmp_path / "photos" / "00001.png").read_bytes()
    first, second = (add_picture(index, "mine.png", contents) for _ in range(2))
    assert index.store.names([first, second]) == {first: "mine.png", second: "mine.png (2)"}
    # A file of the same name is another image.
    write(tmp_path / "photos", digits_images[9:10], first=9)
    (tmp_path / "photos" / "00009.png").rename(tmp_path / "photos" / "mine.png")
    update = update_from_folder(index, tmp_path / "photos")
    assert update.added == 1 and len(index) == 6 and index.store.names([first]) == {first: "mine.png"}
    found = index.search(*index.encode(digits_images[1:2]), k=3)[0]
    assert {neighbour.distance for neighbour in found} == {0}
    with pytest.raises(dsh.InputError, match="cannot read bad.png"):
        add_picture(index, "bad.png", b"<html>")


def make_files(folder, images, count):
    """`count` files of ten kinds, one in twenty broken."""
    good, broken = [], []
    kinds = [*((suffix, "L") for suffix in FORMATS), ("PNG", "P"), ("png", "RGBA")]
    for i in range(count):
        suffix, mode = kinds[i % len(kinds)]
        path = folder / f"{i // 100}" / f"{i:05d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 20 == 7:
            path.write_bytes(b"broken" * (i % 3))
            broken.append(path.relative_to(folder).as_posix())
        else:
            Image.fromarray(images[i % len(images), ..., 0]).convert(mode).save(path)
            good.append(path.relative_to(folder).as_posix())
    return good, broken


KILLED_WITHIN_A_BATCH = """
import os, signal, sys
from dshgan_tf.commands.main import main
from dshgan_tf.search.image_store import ImageStore
put, batches = ImageStore.put, int(sys.argv.pop(1))
def half(rows):
    yield from rows[: len(rows) // 2]
    os.kill(os.getpid(), signal.SIGKILL)
def put_or_die(store, rows):
    global batches
    batches -= 1
    put(store, half(rows) if batches < 0 else rows)
ImageStore.put = put_or_die
main(sys.argv[1:])
"""


def stored(folder):
    with sqlite3.connect(f"{(folder / 'images.sqlite').as_uri()}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT count(*) FROM images").fetchone()[0]


def test_killed_twice_the_third_call_finishes(empty, run, digits_images, tmp_path):
    good, broken = make_files(tmp_path / "photos", digits_images, 2000)
    folder = tmp_path / "photos.index"
    shutil.copytree(empty, folder)
    arguments = ["index", str(run), "--images", str(tmp_path / "photos"), "--output", str(folder)]
    tried_again = 19  # broken ones among the first 6 batches
    for batches, whole in ((6, 6 * 64), (13, 19 * 64 - tried_again)):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_WITHIN_A_BATCH, str(batches), *arguments], capture_output=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert stored(folder) == whole
    command = [*PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    index = ImageIndex(folder)
    names = index.store.named()
    assert sorted(names) == sorted(good + broken) and len(index) == len(good) == len(index.codes)
    assert sorted(index.store.broken()) == sorted(broken)
    listed = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("broken: ")]
    assert sorted(listed) == sorted(broken)
    assert not done.stderr
    model = dsh.load_model(run / "model.keras")
    positions = {item: place for place, item in enumerate(index.codes.ids.tolist())}
    chosen = [name for name in good[::50] if not name.endswith(("jpg", "jpeg", "webp"))]
    expected = model.encode([tmp_path / "photos" / name for name in chosen])
    np.testing.assert_array_equal(index.codes.codes[[positions[names[name]] for name in chosen]], expected)
    assert not list(folder.glob(".*"))  # nothing half written is left


def test_search_by_image_from_the_command_line(index, digits_images, tmp_path, capsys):
    write(tmp_path / "photos", digits_images[:40])
    update_from_folder(index, tmp_path / "photos")
    query, picture = str(tmp_path / "photos" / "00003.png"), tmp_path / "out" / "found.png"
    assert main(["search", str(index.folder), query, "--k", "3", "--picture", str(picture)]) == 0
    assert "Nearest to" in capsys.readouterr().out.replace("\n", " ")
    with Image.open(picture) as sheet:
        assert sheet.size[0] > 3 * 128
    assert main(["search", str(index.folder), query, query, "--k", "4", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 2 and answers[0] == answers[1] and len(answers[0]["neighbours"]) == 4
    assert answers[0]["neighbours"][0]["distance"] == 0
    # The order is that of a brute-force ranking by Hamming, asymmetric distance and id.
    codes, relaxed = index.encode_files([query])
    bits = dsh.codes.unpack(index.codes.codes, 12).astype(np.float64)
    hamming = (bits != dsh.codes.unpack(codes, 12)).sum(axis=1)
    asymmetric = ((bits - relaxed.astype(np.float64)) ** 2).sum(axis=1).round(6)
    order = np.lexsort((index.codes.ids, asymmetric, hamming))
    assert [n["id"] for n in answers[0]["neighbours"]] == index.codes.ids[order[:4]].tolist()


def test_all_within_a_radius(index, digits_images, tmp_path, capsys):
    write(tmp_path / "photos", digits_images[:40])
    update_from_folder(index, tmp_path / "photos")
    query = str(tmp_path / "photos" / "00003.png")
    codes, _ = index.encode_files([query])
    for radius in (0, 2, 12):
        expected = int((dsh.codes.hamming_distance(codes, index.codes.codes) <= radius).sum())
        assert main(["search", str(index.folder), query, "--radius", str(radius), "--json"]) == 0
        (answer,) = json.loads(capsys.readouterr().out)
        assert len(answer["neighbours"]) == expected and answer["radius"] == radius
        assert answer["expected"]["radius"] == radius  # 20 held-out images: there is a calibration
    assert expected == 40


def test_search_by_label(index, run, digits_images, tmp_path, capsys):
    write(tmp_path / "photos", digits_images[:40])
    update_from_folder(index, tmp_path / "photos")
    picture = tmp_path / "found.png"
    assert main(["search", str(index.folder), "--labels", "3", "1|7", "--k", "2", "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "the generator's images of '1|7' lie" in printed and picture.exists()
    # The generator in the index is that of the run: equal noise gives equal images.
    rows = np.eye(10, dtype=np.float32)[[3, 3, 4]]
    noise = np.random.default_rng(9).standard_normal((3, 64)).astype(np.float32)
    expected = np.asarray(dsh.load_model(run / "model.keras").generator([noise, rows], training=False))
    assert np.abs(index.generator.generate(rows, seed=9).astype(float) - expected).max() <= 0.6  # rounded
    query = index.label_query("3")
    streams = index.batch_encoder.predict_streams(query.images)
    bits = dsh.codes.unpack(streams["codes"], 12)
    np.testing.assert_array_equal(dsh.codes.unpack(query.code[None], 12)[0], bits.mean(axis=0) > 0.5)
    np.testing.assert_array_equal(query.relaxed_code > 0.5, bits.mean(axis=0) > 0.5)
    assert query.spread == pytest.approx(dsh.codes.hamming_distance(query.code[None], streams["codes"]).mean())
    assert main(["search", str(index.folder), "--labels", "cat"]) == 2
    assert "no class 'cat'; there are 0, 1" in capsys.readouterr().err


def test_encoder_and_generator_of_any_size_are_converted(tmp_path):
    # From 32 pixels on the generator doubles its grid three times.
    model = dsh.DSHGAN(
        method="dsh-gan",
        num_bits=8,
        num_classes=3,
        image_shape=(40, 32, 3),
        multi_label=True,
        network=dsh.Network(width=2, noise_dim=4),
    )
    write_models(model, tmp_path)
    rows = np.random.default_rng(0).integers(0, 2, (BATCH + 3, 3)).astype(np.float32)
    noise = np.random.default_rng(7).standard_normal((len(rows), 4)).astype(np.float32)
    expected = np.asarray(model.generator([noise, rows], training=False))
    found = LiteRTGenerator(tmp_path / "generator.tflite").generate(rows, seed=7)
    assert np.abs(found.astype(float) - expected).max() <= 0.6  # rounded
    streams = LiteRTEncoder(tmp_path / "encoder.tflite", batch_size=4).predict_streams(found)
    for name, values in model.predict_streams(found).items():
        if name in streams:
            np.testing.assert_allclose(streams[name], values, atol=1e-4)


def test_without_a_generator_the_class_stream_answers(index, run, digits_images, tmp_path, capsys):
    (index.folder / "generator.tflite").unlink()
    write(tmp_path / "photos", digits_images[:40])
    update_from_folder(index, tmp_path / "photos")
    assert main(["search", str(index.folder), "--labels", "3", "--k", "5", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    logits = dsh.load_model(run / "model.keras").predict_streams(digits_images[:40])["class_logits"]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = np.argsort(-probabilities[:, 3], kind="stable")[:5]
    assert [n["name"] for n in answer["neighbours"]] == [f"{i:05d}.png" for i in best]
    found = [n["probability"] for n in answer["neighbours"]]
    np.testing.assert_allclose(found, probabilities[best, 3], atol=1e-3)
    assert main(["search", str(index.folder), "--labels", "3", "--radius", "1"]) == 2
    assert "no generator" in capsys.readouterr().err


def test_the_runs_own_database(run, empty, tmp_path, capsys):
    folder = tmp_path / "database.index"
    shutil.copytree(empty, folder)
    assert main(["index", str(run), "--output", str(folder)]) == 0
    assert "1,597 images, codes of 12 bits (1,597 new)" in capsys.readouterr().out
    index, splits = ImageIndex(folder), Run(run).splits()
    expected = dsh.load_model(run / "model.keras").encode(splits.database.images)
    np.testing.assert_array_equal(index.codes.codes, expected)
    names = index.store.names(index.codes.ids[:1])
    assert list(names.values()) == [f"digits #{splits.database.ids[0]} ({splits.database.labels[0]})"]
    assert main(["index", str(run), "--output", str(folder)]) == 0
    assert "(1,597 as before)" in capsys.readouterr().out
    assert main(["index", str(run), "--images", str(run / "plots"), "--output", str(folder)]) == 2
    assert "holds the run's own database: leave --images out" in capsys.readouterr().err
    assert main(["encode", str(folder), str(run / "plots" / "query.png")]) == 0
    code = dsh.load_model(run / "model.keras").encode(splits.query.images[:1])[0]
    assert capsys.readouterr().out.split()[0] == code.tobytes().hex()


def test_what_cannot_be_done_is_said_in_a_line(run, index, tmp_path, capsys):
    query = str(run / "plots" / "query.png")
    (tmp_path / "none").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    shutil.copytree(run, tmp_path / "other")
    with open(tmp_path / "other" / "model.keras", "ab") as file:
        file.write(b" ")
    for arguments, message in (
        (["search", str(tmp_path / "none"), query], "is no index (no manifest.json); make one with dshgan index"),
        (["search", str(index.folder), query], "holds no image; add some with dshgan index"),
        (["search", str(index.folder)], "give image files or --labels"),
        (["search", str(index.folder), query, "--labels", "3"], "give image files or --labels, not both"),
        (["search", str(index.folder), query, "--k", "0"], "--k must be at least 1, got 0"),
        (["search", str(index.folder), query, "--k", "-1", "--radius", "3"], "--k must be at least 1, got -1"),
        (["search", str(index.folder), "--labels", "3", "--precision", "0.9"], "known for pictures, not for labels"),
        (["index", str(run), "--images", str(run / "plots"), "--output", str(tmp_path / "full")], "is no index"),
        (["search", str(index.folder), query, "--radius", "1", "--precision", "0.9"], "give one of them"),
        (["search", str(index.folder), query, "--radius", "13"], "radius"),
        (["search", str(index.folder), query, "--precision", "1.5"], "precision must lie in (0, 1], got 1.5"),
        (["search", str(index.folder), str(tmp_path / "no.png")], "no.png"),
        (["index", str(tmp_path / "none"), "--output", str(tmp_path / "x")], "holds no finished run"),
        (["index", str(run), "--images", str(tmp_path / "no"), "--output", str(tmp_path / "x")], "is no folder"),
        (["index", str(run), "--images", str(tmp_path / "none"), "--output", str(index.folder)], "no image files"),
        (["index", str(tmp_path / "other"), "--output", str(index.folder)], "holds the codes of another model"),
        (["encode", str(run)], "give at least one image file"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, (arguments, error)
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"}, {"num_bits": 0}, {"num_bits": "12"}, {"image_shape": [8, 8]}, {"image_shape": [8, 8, -1]},
        {"class_names": [1]}, {"class_names": None}, {"multi_label": 1},
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_named(index, change):
    path = index.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(dsh.InputError, match=r"manifest\.json"):
        ImageIndex(index.folder)


def test_damaged_parts_are_named(index, digits_images):
    for name in ("encoder.tflite", "encoder.json", "images.sqlite", "manifest.json"):
        path = index.folder / name
        contents = path.read_bytes()
        for damage in (b"", b"{", contents[: len(contents) // 2]):
            path.write_bytes(damage)
            with pytest.raises(dsh.InputError, match=name.replace(".", r"\.")):
                opened = ImageIndex(index.folder)
                opened.encode(digits_images[:1])
                len(opened)
        path.write_bytes(contents)
    ImageIndex(index.folder).encode(digits_images[:1])
