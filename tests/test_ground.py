"""White icons on a transparent ground: blank over white, and told apart over black by every way in."""

import json

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import dshgan_tf as dsh
from dshgan_tf.bulk_encoding.encoders import identity, open_encoder
from dshgan_tf.commands.main import main
from dshgan_tf.run import Run


def icon(shape):
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[..., 3] = 255 * shape
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def icons(tmp_path_factory):
    """Discs and bars in many places."""
    folder = tmp_path_factory.mktemp("icons")
    y, x = np.mgrid[:16, :16]
    for number in range(15):
        shapes = {"disc": (y - 4 - number % 5) ** 2 + (x - 5 - number // 5) ** 2 < 9, "bar": x == number}
        for name, shape in shapes.items():
            (folder / name).mkdir(exist_ok=True)
            icon(shape).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(icons, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "icons"
    steps = ["--steps", "20", "--steps-per-epoch", "20", "--batch-size", "8", "--width", "8", "--num-bits", "16"]
    steps += ["--similarity-weight", "0"]  # it would give two classes little more than two codes
    given = [str(icons), "--labels-per-class", "5", "--method", "supervised", "--ground", "0", *steps]
    assert main(["train", *given, "--workdir", str(run)]) == 0
    return run


def test_over_white_all_are_blank(icons, capsys):
    assert main(["data", "check", str(icons), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["blank"]) == 30
    splits = dsh.data.load("folder", data_dir=str(icons), ground=0)
    assert not splits.blank and splits.database.images[:].max() == 255 and splits.database.images[:].min() == 0


def test_every_way_in_reads_over_black(icons, trained, tmp_path, capsys):
    paths = sorted(icons.rglob("*.png"))
    codes = Run(trained).load_model().encode([str(path) for path in paths])
    assert len(np.unique(codes, axis=0)) > 3  # over white it would be one
    for form in ("tflite", "saved_model"):
        assert main(["export", str(trained), "--format", form, "--output", str(tmp_path / form)]) == 0
    served, device = tmp_path / "saved_model" / "1", tmp_path / "tflite" / "encoder_float32.tflite"
    assert open_encoder(served, "tensorflow", identity(served)).ground == 0
    given = [str(icons), "--model", str(device), "--output", str(tmp_path / "codes"), "--workers", "1"]
    assert main(["encode-all", *given]) == 0
    found = {
        row["path"]: row["code"] for row in parquet.read_table(tmp_path / "codes" / "codes-000000.parquet").to_pylist()
    }
    assert [found[str(path.relative_to(icons))] for path in paths] == [code.tobytes() for code in codes]
    index = str(tmp_path / "index")
    assert main(["index", str(trained), "--images", str(icons), "--output", index]) == 0
    capsys.readouterr()
    assert main(["search", index, str(paths[3]), "--radius", "0", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    equal = [str(path.relative_to(icons)) for path, code in zip(paths, codes, strict=True) if (code == codes[3]).all()]
    assert sorted(row["name"] for row in answer["neighbours"]) == equal and len(equal) < 30
