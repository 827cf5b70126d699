"""The page of `dshgan demo`, without a browser: what it does with an index, and what it refuses."""

import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from demo_index import PROGRAM, Client, bomb, digits_images, make, png_of, serving
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.demo import actions as actions_module
from dshgan_tf.demo.actions import Actions, Found, Query, base_name, caption_of
from dshgan_tf.demo.bits_picture import draw_bits, to_hex
from dshgan_tf.demo.offline import is_here
from dshgan_tf.demo.ports import free_port
from dshgan_tf.demo.run_report import draw_calibration, plots_of, tables_of
from dshgan_tf.search.image_index import Neighbour
from dshgan_tf.search.image_manifest import MANIFEST


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def index(made, tmp_path):
    shutil.copytree(made / "my.index", tmp_path / "my.index")
    return tmp_path / "my.index"


@pytest.fixture(scope="module")
def page(made):
    shutil.copytree(made / "my.index", made / "served.index")
    with serving(made / "served.index", "--run", str(made / "run"), quiet=False) as (url, _):
        yield Client(url)


def set_manifest(index, **values):
    manifest = json.loads((index / MANIFEST).read_text())
    (index / MANIFEST).write_text(json.dumps(manifest | values))


def expecting(*precisions):
    """A calibration of 12 bits with these precisions, the last one for all further radii."""
    rows = [[p, max(0, p - 0.1), min(1, p + 0.1)] for p in precisions]
    rows += rows[-1:] * (13 - len(rows))
    return {"images": 20, "similar_share": 0.1, "precision": rows, "recall": [[0.5, 0.4, 0.6]] * 13}


# What the page can do.


def test_search_is_that_of_the_index(index):
    actions = Actions(index)
    query = actions.read("some.png", png_of(digits_images()[3]))
    found = actions.find(query, 5, 12)
    codes, relaxed = actions.index.encode(digits_images()[3:4])
    assert found.neighbours == actions.index.search(codes, relaxed, 5)[0]
    assert found.line == "40 images lie within 12 bits; the 5 nearest are shown"
    np.testing.assert_array_equal(query.code, codes[0])
    pictures, captions = zip(*actions.shown(found.neighbours), strict=True)
    assert {picture.size for picture in pictures} == {(128, 128)}
    assert captions[0] == f"0 bits\n{found.neighbours[0].name}"


def test_radius_bounds_what_is_found(index):
    actions = Actions(index)
    query = actions.read("some.png", png_of(digits_images()[3]))
    every = actions.find(query, 60, 12).neighbours
    for radius in range(13):
        near = actions.find(query, 60, radius).neighbours
        assert near == [neighbour for neighbour in every if neighbour.distance <= radius]
    # A code that no image has.
    stored = actions.index.codes.codes
    bits = next(bits for bits in np.ndindex(*[2] * 12) if not (stored == pack(np.array([bits]))).all(axis=1).any())
    absent = pack(np.array([bits]))
    nearest = dsh.codes.hamming_distance(absent, stored).min()
    found = actions.find(Query("absent", absent[0], np.array(bits, np.float32)), 5, 0)
    unit = "bit" if nearest == 1 else "bits"
    assert found == Found([], f"no image lies within 0 bits; the nearest is {nearest} {unit} away")


def test_an_image_of_the_index_has_its_stored_code(index):
    actions = Actions(index)
    for item, picture in actions.some(60, np.random.default_rng(0)):
        query = actions.pick(item)
        stored = actions.index.codes.codes[actions.index.codes.ids.tolist().index(item)]
        np.testing.assert_array_equal(query.code, stored)
        np.testing.assert_array_equal(pack(query.relaxed_code[None] > 0.5)[0], stored)
        assert query.contents is None and picture.size == (128, 128)
        name, bits = actions.compare(item)
        assert name == query.name and to_hex(bits) == stored.tobytes().hex()
    with pytest.raises(dsh.InputError, match="left the index"):
        actions.pick(1000)


def test_an_image_that_is_added_is_found(index):
    actions = Actions(index)
    contents = png_of(255 - digits_images()[0])
    query, line = actions.add(actions.read("../mine.png", contents))
    assert line == "added as mine.png; 41 images" and query.contents is None
    assert ("mine.png", 0) in [(n.name, n.distance) for n in actions.find(query, 41, 0).neighbours]
    with pytest.raises(dsh.InputError, match="upload an image first"):
        actions.add(query)
    # It is there for the other programs, too, and once more under another name.
    assert "mine.png" in Actions(index).index.store.named()
    assert actions.add(actions.read("mine.png", contents))[1] == "added as mine.png (2); 42 images"


def test_an_index_that_cannot_be_written_is_searched(index, monkeypatch):
    monkeypatch.setattr(actions_module.os, "access", lambda path, mode: False)  # root may write everything
    actions = Actions(index)
    query = actions.read("a.png", png_of(digits_images()[0]))
    assert actions.find(query, 3, 12).neighbours
    with pytest.raises(dsh.InputError, match="cannot be written"):
        actions.add(query)


def test_expectation_of_a_radius(index):
    set_manifest(index, calibration=expecting(1.0, 0.97, 0.96, 0.5))
    actions = Actions(index)
    assert actions.expectation(1) == "expected precision 0.97 [0.87, 1.00], recall 0.50 [0.40, 0.60]"
    assert actions.first_radius() == 2
    set_manifest(index, calibration=expecting(0.5))
    assert Actions(index).first_radius() == 3  # none is good: a quarter of the bits
    nowhere = expecting(0.5)
    nowhere["precision"][0] = [None, 0, 1]
    set_manifest(index, calibration=nowhere)
    assert "nothing is found" in Actions(index).expectation(0)
    set_manifest(index, calibration=None)
    assert Actions(index).expectation(3).startswith("no calibration: ") and Actions(index).first_radius() == 3


def test_labels_are_drawn_and_searched(index):
    actions = Actions(index)
    drawing = actions.draw(["3"], 6, 0)
    assert len(drawing.pictures) == 6 and drawing.line.startswith("64 images drawn; their codes lie ")
    made = actions.index.label_query("3")
    np.testing.assert_array_equal(drawing.query.code, made.code)
    found = actions.find(drawing.query, 5, 12).neighbours
    assert found == actions.index.search(made.code[None], made.relaxed_code[None], 5)[0]
    assert actions.draw(["3"], 6, 1).pictures != drawing.pictures
    assert actions.draw(["3", "5"], 6, 0).query.name == "3|5"
    with pytest.raises(dsh.InputError, match="choose a label"):
        actions.draw([], 6, 0)


def test_without_a_generator_the_class_stream_ranks(index):
    (index / "generator.tflite").unlink()
    actions = Actions(index)
    drawing = actions.draw(["3"], 6, 0)
    assert not actions.draws and not drawing.pictures
    found = actions.find(drawing.query, 4, 0)
    assert found.neighbours == actions.index.rank_by_probability("3", 4)
    assert found.line == "the 4 most probable images are shown"
    assert caption_of(found.neighbours[0]).startswith("probability 0.")


def test_an_empty_index_says_so(index):
    actions = Actions(index)
    actions.index.store.remove(actions.index.store.named().values())
    assert actions.some(12, np.random.default_rng(0)) == []
    query = actions.read("a.png", png_of(digits_images()[0]))
    with pytest.raises(dsh.InputError, match="holds no image yet"):
        actions.find(query, 3, 12)
    assert actions.find(actions.add(query)[0], 3, 12).line == "1 image lies within 12 bits"


def test_several_windows_at_once(index):
    actions = Actions(index)

    def visit(number):
        query = actions.read(f"{number}.png", png_of(digits_images()[number]))
        query, _ = actions.add(query)
        actions.draw([str(number % 10)], 4, number)
        return actions.find(query, 60, 12).neighbours[0].distance, actions.pick(number + 1).name

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(visit, range(24)))
    assert answers == [(0, f"{number:02d}.png") for number in range(24)]
    assert len(actions.index) == 64


def test_names_lose_their_path_and_what_cannot_be_shown():
    names = {"../../etc/one.png": "one.png", "C:\\photos\\two.png": "two.png", "..": "image", "": "image"}
    names |= {"a/": "image", ".hidden.png": "hidden.png", "new\nline\x00.png": "newline.png", "ü ö.png": "ü ö.png"}
    assert {name: base_name(name) for name in names} == names
    assert caption_of(Neighbour(1, "odd-\udcff.png", distance=1)) == "1 bit\nodd-?.png"
    assert caption_of(Neighbour(1, "a/b.png", probability=0.5)) == "probability 0.50\na/\u200bb.png"


def test_picture_of_bits():
    drawn = draw_bits(np.array([0.0, 1.0, 0.5, 0.9]), np.array([0, 1, 1, 1]))
    assert drawn.count("<rect") == 4 and drawn.count("stroke=") == 1  # 0.5 is a zero
    assert "bit 3: 1 (0.90)" in drawn and 'fill="rgb(226,232,240)"' in drawn and 'fill="rgb(30,64,175)"' in drawn
    assert 'aria-label="code 50"' in drawn
    assert draw_bits(np.zeros(128)).count("<rect") == 128


def test_tables_and_curves_of_a_run(made, tmp_path):
    assert "| digits, width 4 | 12 | 10 | 4 | with GAN |" in tables_of(made / "run")
    assert set(plots_of(made / "run")) == {"learning_curves", "retrieval", "code_map"}
    with pytest.raises(dsh.InputError, match="no finished run"):
        tables_of(tmp_path)
    picture = draw_calibration(Actions(made / "my.index").calibration)
    assert picture.width > 800 and len(picture.convert("L").getcolors()) > 10


def test_which_addresses_are_this_machine():
    here = (None, "", "localhost", "127.0.0.1", b"127.0.0.1", "::1", "0.0.0.0", "192.168.7.7")
    elsewhere = ("example.com", "8.8.8.8", b"huggingface.co", "10.0.0.1", "localhost.example.com")
    assert all(is_here(name, "192.168.7.7") for name in here)
    assert not any(is_here(name, "192.168.7.7") for name in elsewhere)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(dsh.InputError, match=f"cannot listen on 127.0.0.1:{port} .*give another --port"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
    assert free_port("127.0.0.1", None) >= 7860


# The program.


def test_without_gradio_it_says_what_to_install(index):
    code = "import sys; sys.modules['gradio'] = None; from dshgan_tf.commands.main import entry; entry()"
    done = subprocess.run([sys.executable, "-c", code, "demo", index], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("dshgan demo: the page needs Gradio")
    assert done.stderr.endswith("pip install dshgan-tf[demo]\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nowhere.index"], "is no index"),
        (["my.index", "--run", "nowhere"], "holds no finished run"),
        (["my.index", "--port", "1000000"], "give another --port"),
        (["my.index", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1:7860"),
    ],
)
def test_mistakes_are_one_line(index, flags, message):
    done = subprocess.run([*PROGRAM, *flags], capture_output=True, text=True, cwd=index.parent)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_it_starts_soon_without_tensorflow_and_leaves_nothing_behind(index, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    begin = time.perf_counter()
    with serving(index) as (url, process):
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
        taken = time.perf_counter() - begin
        libraries = Path("/proc", str(process), "maps").read_text()
    print(f"{taken:.1f} s")
    assert "tensorflow" not in libraries and "litert" in libraries
    assert taken < 15  # under 5 s where nothing else runs
    assert not list((tmp_path / "temporary").iterdir())


# What the page refuses.


def test_nothing_outside_is_served(page, made):
    for path in ("/etc/passwd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "setup.py"):
        assert page.get(f"gradio_api/file={path}")[0] == 403, path
    for path in (made / "served.index" / MANIFEST, made / "run" / "results.json", made / "photos" / "00.png"):
        assert page.get(f"gradio_api/file={path}")[0] == 403, path
    assert page.get("static/../../../../etc/passwd")[0] in (403, 404)
    # A path that was not uploaded is no upload.
    assert "hexadecimal" not in (answer := page.search("/etc/passwd")) and "root:" not in answer
    assert '"success":false' in answer


def test_nothing_is_fetched(page):
    assert page.get("gradio_api/file=https://example.com/")[0] == 403
    assert page.get("gradio_api/proxy=https://example.com/")[0] == 400
    assert '"success":false' in page.search("https://example.com/one.png")


def test_other_names_of_the_machine_are_refused(page):
    assert page.get("", Host="evil.example")[0] == 400


def test_hostile_uploads_get_a_line_and_the_page_goes_on(page):
    cut = png_of(digits_images()[0])[:60]
    hostile = {
        "bomb.png": (bomb(), "cannot read bomb.png as an image (far too large)"),
        "page.png": (b"<html><script>alert(1)</script></html>", "cannot read page.png as an image"),
        "cut.png": (cut, "cannot read cut.png as an image"),
        "empty.png": (b"", "cannot read empty.png as an image"),
        "<img src=x>.png": (b"<", "cannot read"),
    }
    for name, (contents, expected) in hostile.items():
        answer = page.search(page.upload(name, contents))
        assert expected in answer and '"success":true' in answer, (name, answer)
        assert "<img" not in answer
    answer = page.search(page.upload("good.png", png_of(digits_images()[0])))
    assert "Code of good.png" in answer and "images lie within" in answer


def test_a_path_in_a_name_is_harmless(page):
    kept = page.upload("../../../../evil.png", png_of(digits_images()[0]))
    assert "dshgan_demo_" in kept and ".." not in kept.split("/")
    assert "Code of evil.png" in page.search(kept)


def test_a_file_that_is_too_large_is_refused(page):
    assert page.upload("large.png", bytes(21 << 20)) == 413
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    assert "Code of small.jpg" in page.search(page.upload("small.jpg", file.getvalue()))
