import json
import re
import subprocess
import sys

import numpy as np
import pytest

import dshgan_tf as dsh
from export import cli, search
from export.parity import compare
from training.presets import PRESETS
from training.runner import train_and_evaluate


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    import dataclasses

    # 12 bits: the last byte of a code is half padding.
    config = dataclasses.replace(PRESETS["smoke"], num_bits=12, width=4)
    folder = tmp_path_factory.mktemp("run")
    train_and_evaluate(config, folder, verbose=0)
    return folder


def expected_codes(workdir, images):
    return dsh.load_model(workdir / "model.keras").encode(images)


@pytest.fixture(scope="module")
def images():
    return dsh.data.load("digits").query.images[:50]


def test_saved_model_runs_without_this_package(workdir, images, tmp_path):
    output = tmp_path / "some" / "where"
    for version in (1, 2):
        assert cli.main([str(workdir), "--format", "saved_model", "--output", str(output)]) == 0
        assert (output / str(version) / "saved_model.pb").exists()
    assert sorted(path.name for path in output.iterdir()) == ["1", "2"]
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    code = (
        "import sys, numpy as np, tensorflow as tf; f, i, o = sys.argv[1:];"
        "out = tf.saved_model.load(f).signatures['serving_default'](images=tf.constant(np.load(i)));"
        "assert not [m for m in sys.modules if m.startswith('dshgan')]; assert set(out) == {'codes', 'relaxed_codes'};"
        "np.save(o, out['codes'].numpy())"
    )
    command = [sys.executable, "-c", code, str(output / "1"), str(tmp_path / "images.npy"), str(tmp_path / "codes.npy")]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected_codes(workdir, images))
    manifest = json.loads((output / "1" / "manifest.json").read_text())
    assert (manifest["num_bits"], manifest["bitorder"], manifest["image_shape"]) == (12, "big", [8, 8, 1])


def test_tflite_runs_without_tensorflow(workdir, images, tmp_path):
    assert cli.main([str(workdir), "--format", "tflite", "--output", str(tmp_path / "edge")]) == 0
    file = tmp_path / "edge" / "encoder_float32.tflite"
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from ai_edge_litert.interpreter import Interpreter; f, i, o = sys.argv[1:];"
        "x = np.load(i); n = Interpreter(f); d = n.get_input_details(); assert len(d) == 1;"
        "assert d[0]['dtype'] == np.uint8;"
        "n.resize_tensor_input(d[0]['index'], x.shape); n.allocate_tensors();"
        "n.set_tensor(d[0]['index'], x); n.invoke();"
        "c = [t for t in n.get_output_details() if t['dtype'] == np.uint8]; assert len(c) == 1;"
        "assert 'tensorflow' not in sys.modules; np.save(o, n.get_tensor(c[0]['index']))"
    )
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "images.npy"), str(tmp_path / "codes.npy")]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected_codes(workdir, images))
    assert json.loads((tmp_path / "edge" / "encoder_float32.json").read_text())["num_bits"] == 12


def test_parity_counts_by_hand():
    relaxed = np.array([[0.9, 0.1, 0.5 + 1e-6], [0.2, 0.8, 0.7]])
    # Keras' bits are 101 and 011; the export says 100 and 111: one undecided bit and one wrong bit differ.
    parity = compare(np.array([[0b10000000], [0b11100000]], np.uint8), relaxed)
    assert (parity.images, parity.bits, parity.different, parity.undecided) == (2, 6, 2, 1)
    assert parity.agreement == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="encoder: 1 of 6 bits differ from Keras'; nothing was exported"):
        parity.check("encoder")


def test_a_wrong_export_never_becomes_visible(workdir, tmp_path, monkeypatch, capsys):
    from export import saved_model

    wrong = lambda codes, relaxed: compare(~codes & 0xF0, relaxed)  # noqa: E731
    monkeypatch.setattr(saved_model, "compare", wrong)
    assert cli.main([str(workdir), "--format", "saved_model", "--output", str(tmp_path)]) == 2
    assert "bits differ from Keras'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_of_nothing_is_refused(tmp_path, capsys):
    assert cli.main([str(tmp_path), "--format", "tflite", "--output", str(tmp_path / "out")]) == 2
    assert "holds no finished run" in capsys.readouterr().err


def test_encode_index_and_search_files(workdir, images, tmp_path, capsys):
    from PIL import Image

    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for i in range(5):
        Image.fromarray(images[i].squeeze()).save(folder / "sub" / f"{i}.png")
    assert search.encode_main([str(workdir), str(folder / "sub" / "3.png")]) == 0
    assert capsys.readouterr().out.split()[0] == expected_codes(workdir, images[3:4]).tobytes().hex()
    index = tmp_path / "deep" / "pictures.index"
    assert search.index_main([str(workdir), "--images", str(folder), "--output", str(index)]) == 0
    assert "5 codes of 12 bits" in capsys.readouterr().out
    assert search.search_main([str(index), str(folder / "sub" / "3.png"), "--k", "3"]) == 0
    printed = capsys.readouterr().out
    first = re.search(r"│\s*1 │\s*(\d+) │ (\S+)", printed)
    assert first.group(1) == "0" and len(re.findall(r"\.png", printed)) == 4


def test_index_of_the_runs_own_database(workdir, tmp_path, capsys):
    assert search.index_main([str(workdir), "--output", str(tmp_path / "database.index")]) == 0
    assert "1597 codes" in capsys.readouterr().out
    assert search.search_main([str(tmp_path / "database.index"), str(workdir / "plots" / "query.png")]) == 0
    assert "digits #" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_files_that_are_no_images_are_named(workdir, tmp_path, content, capsys):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    assert search.encode_main([str(workdir), str(path)]) == 2
    assert "broken.png" in capsys.readouterr().err.replace("\n", "")
