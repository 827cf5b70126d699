"""`dshgan data check`: a folder with five pictures of each fault, and each of them named once."""

import collections
import json
import re

import numpy as np
import pytest
from PIL import Image

from dshgan_tf.commands.main import main
from dshgan_tf.data.data_check import check_data
from dshgan_tf.errors import InputError

EACH = 5  # of 100 good pictures


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(seed):
    """Large patches, so that another size is nearly the same."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(np.repeat(np.repeat(patches, 12, axis=0), 12, axis=1))


@pytest.fixture
def good(tmp_path):
    for number in range(100):
        folder = tmp_path / "photos" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"{number:03d}.png")
    return tmp_path / "photos"


@pytest.fixture
def faulty(good):
    (good / "owl").mkdir()
    for number in range(EACH):
        (good / "cat" / f"broken{number}.png").write_bytes((good / "dog" / "000.png").read_bytes()[:60])
        (good / "cat" / f"other{number}.jxl").write_bytes(b"x")
        Image.new("RGB", (48, 48), (0, 0, 50 * number)).save(good / "dog" / f"blank{number}.png")
        picture(2 * number).save(good / "dog" / f"same{number}.bmp")
        picture(10 + 2 * number).resize((60, 60)).save(good / "dog" / f"alike{number}.jpg", quality=95)
        picture(20 + 2 * number).save(good / "cat" / f"contradicts{number}.png")
        picture(1000 + number).save(good / "owl" / f"{number}.png")
    return good


def test_nothing_is_wrong_with_a_good_folder(good, capsys):
    assert main(["data", "check", str(good), "--strict"]) == 0
    said = capsys.readouterr().out
    assert "nothing is wrong" in said and "100 (100 .png)" in said and "48 x 48" in said
    assert "2, from 50 images" in said


def test_each_fault_is_named_once(faulty, capsys):
    assert main(["data", "check", str(faulty), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["skipped"]) == {f"cat/{kind}" for i in range(EACH) for kind in (f"broken{i}.png", f"other{i}.jxl")}
    assert found["blank"] == [f"dog/blank{i}.png" for i in range(EACH)]
    assert sorted(found["same"]) == [[f"dog/{2 * i:03d}.png", f"dog/same{i}.bmp"] for i in range(EACH)]
    assert sorted(found["alike"]) == [[f"dog/{10 + 2 * i:03d}.png", f"dog/alike{i}.jpg"] for i in range(EACH)]
    assert sorted(sorted(group) for group in found["contradictions"]) == [
        [f"cat/contradicts{i}.png", f"dog/{20 + 2 * i:03d}.png"] for i in range(EACH)
    ]
    assert found["rare"] == ["owl"] and found["classes"] == {"cat": 55, "dog": 65, "owl": EACH}
    assert found["formats"] == {".png": 120, ".bmp": EACH, ".jpg": EACH} and found["imbalance"] == 13
    lines = [line for kind in check_data(faulty).faults().values() for line in kind]
    named = collections.Counter(re.findall(r"\w+/\w+\.\w+", "\n".join(lines)))
    assert set(named.values()) == {1} and len(named) == 9 * EACH


def test_strict_ends_with_status_1(faulty, capsys):
    assert main(["data", "check", str(faulty), "--strict"]) == 1
    said = capsys.readouterr().out
    for line in (
        "cannot be used: 10",
        "blank: 5",
        "the same picture: 5",
        "nearly the same picture: 5",
        "the same picture with different labels: 5",
        "classes with fewer than 10 images: 1",
        "and 5 more (--json lists all)",
        "13 times as many images",
    ):
        assert line in said, line


def test_a_table_is_checked_too(good, capsys):
    names = sorted(path.relative_to(good).as_posix() for path in good.rglob("*.png"))
    rows = [f"{name},{name.split('/')[0] if i % 3 else ''}" for i, name in enumerate(names)]
    (good / "table.csv").write_text("\n".join(["path,labels", *rows, "cat/gone.png,cat"]))
    assert main(["data", "check", str(good / "table.csv"), "--strict"]) == 1
    said = capsys.readouterr().out
    assert "the same picture" not in said
    Image.open(good / names[0]).save(good / "copy.bmp")  # names[0] has no label
    Image.open(good / names[1]).save(good / "other.bmp")
    (good / "table.csv").write_text("\n".join(["path,labels", *rows, "cat/gone.png,cat", "copy.bmp,dog", "other.bmp,"]))
    found = check_data(good / "table.csv")
    assert found.same == ((names[0], "copy.bmp"), (names[1], "other.bmp")) and not found.contradictions
    assert "cat/gone.png: missing" in said and "without a label" in said and "34" in said


def test_what_is_no_data_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="cannot read"):
        check_data(tmp_path / "none.csv")
    assert main(["data", "check", str(tmp_path / "nothing")]) == 2
    for arguments in (["data"], ["data", "mend", "photos"]):
        assert main(arguments) == 2
        assert "one action, check" in capsys.readouterr().err
