"""The encoder for microcontrollers, run by TensorFlow Lite for Microcontrollers itself."""

import json
import re
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from dshgan_tf.export.held_out import HeldOut
from dshgan_tf.export.micro import convert_for_micro, export_micro
from dshgan_tf.export.micro_encoder import MicroEncoder

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.errors import ExportError, InputError


@pytest.fixture(scope="module")
def kit(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("exports") / "kit"
    arguments = ["--format", "tflite", "--quantize", "micro", "--output", str(output)]
    assert main(["export", str(trained), *arguments]) == 0
    return output


def test_its_codes_are_those_of_keras_but_for_a_few_bits(kit, trained):
    images = dsh.data.load("digits").query.images
    expected = dsh.codes.unpack(dsh.load_model(trained / "model.keras").encode(images), 12)
    codes = MicroEncoder(kit / "encoder_micro.tflite").encode(images)
    assert codes.shape == (200, 2) and np.mean(dsh.codes.unpack(codes, 12) == expected) >= 0.98
    (row,) = json.loads((kit / "export_report.json").read_text())
    assert row["name"] == "encoder_micro.tflite" and row["map"] >= row["keras_map"] - 0.01
    assert row["parity"]["different"] == (dsh.codes.unpack(codes, 12) != expected).sum()
    assert "int8, a pixel 0..255 less 128, 8 x 8 x 1" in (kit / "MODEL_CARD.md").read_text()


def test_an_export_for_something_else_is_not_mixed_in(kit, trained, capsys):
    before = sorted(kit.iterdir())
    assert main(["export", str(trained), "--format", "tflite", "--output", str(kit)]) == 2
    assert "holds an export for microcontrollers; give --output another folder" in capsys.readouterr().err
    assert sorted(kit.iterdir()) == before


def test_bits_are_read_from_the_interpreter_as_the_sidecar_says(kit):
    """By hand: the runtime alone, no class of ours."""
    from tflite_micro import runtime

    told = json.loads((kit / "encoder_micro.json").read_text())
    assert (told["input"], told["num_bits"], told["image_shape"]) == ("int8, pixel - 128", 12, [8, 8, 1])
    images = dsh.data.load("digits").query.images[:20]
    interpreter = runtime.Interpreter.from_file(str(kit / "encoder_micro.tflite"), arena_size=told["arena_bytes"])
    (taken,), (given,) = (
        details["quantization_parameters"]["scales"]
        for details in (interpreter.get_input_details(0), interpreter.get_output_details(0))
    )
    assert (taken, given) == (1, 1 / 256)
    rows = []
    for image in images:
        interpreter.set_input((image[None].astype(int) - 128).astype(np.int8), 0)
        interpreter.invoke()
        relaxed = (interpreter.get_output(0)[0].astype(int) + 128) / 256
        rows.append(sum(1 << (15 - bit) for bit in range(12) if relaxed[bit] > 0.5))
    codes = MicroEncoder(kit / "encoder_micro.tflite").encode(images)
    assert [int.from_bytes(code.tobytes(), "big") for code in codes] == rows


def test_what_is_no_export_is_not_written_over(trained, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, reason in (("mine", "holds files that are no export"), ("file", "is a file")):
        arguments = ["--format", "tflite", "--quantize", "micro", "--output", str(tmp_path / name)]
        assert main(["export", str(trained), *arguments]) == 2
        assert f"{tmp_path / name} {reason}" in capsys.readouterr().err
    assert (tmp_path / "mine" / "README.md").read_text() == (tmp_path / "file").read_text() == "mine"


def test_a_pixel_is_an_int8_whatever_the_images_hold(trained, tmp_path):
    dim = np.random.default_rng(0).integers(60, 90, (20, 8, 8, 1), dtype=np.uint8)
    convert_for_micro(dsh.load_model(trained / "model.keras"), dim, tmp_path / "encoder.tflite", tmp_path)
    (given,) = Interpreter(str(tmp_path / "encoder.tflite")).get_input_details()
    assert given["quantization"] == (1.0, -128)
    assert dim.min() == 60  # they are not written to


def test_every_tensor_of_the_way_is_int8(kit):
    interpreter = Interpreter(str(kit / "encoder_micro.tflite"))
    types = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert types <= {np.int8, np.int32}  # biases and shapes are int32
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["dtype"], given["shape"].tolist()) == (np.int8, [1, 8, 8, 1])
    assert (made["dtype"], made["shape"].tolist()) == (np.int8, [1, 12])


def test_the_c_files_say_what_the_model_is(kit):
    source, header = (kit / "encoder_micro.cc").read_text(), (kit / "encoder_micro.h").read_text()
    rows = source.split("{", 1)[1]
    assert bytes(int(byte) for byte in re.findall(r"\d+", rows)) == (kit / "encoder_micro.tflite").read_bytes()
    told = json.loads((kit / "encoder_micro.json").read_text())
    sizes = {name: int(value) for name, value in re.findall(r"constexpr int (\w+) = (\d+);", header)}
    assert sizes == {"kHeight": 8, "kWidth": 8, "kChannels": 1, "kNumBits": 12, "kArenaBytes": told["arena_bytes"]}
    assert re.findall(r"operations\.Add(\w+)\(\)", header) == told["operations"]
    assert {"Conv2D", "FullyConnected", "Logistic"} <= set(told["operations"])
    assert f"MicroMutableOpResolver<{len(told['operations'])}>" in header and told["sha256"] in header
    assert (kit / "hash_image.cc").exists() and "microcontroller" in (kit / "README.md").read_text()


def test_half_of_the_arena_does_not_do(kit):
    """The figure is the need, and not some generous size."""
    arena = json.loads((kit / "encoder_micro.json").read_text())["arena_bytes"]
    encoder = MicroEncoder(kit / "encoder_micro.tflite")
    assert arena % 1024 == 0 and encoder.try_arena(arena).returncode == 0
    assert encoder.try_arena(arena // 2).returncode != 0


def test_colour_and_bits_that_no_image_decides(tmp_path):
    """An encoder for 32 x 32 colour pictures with random weights is refused: int8 turns its bits over."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (240, 32, 32, 3), dtype=np.uint8)
    splits = dsh.data.from_arrays(images, np.arange(240) % 2, queries_per_class=60, labels_per_class=10)
    model = dsh.DSHGAN(num_bits=16, num_classes=2, image_shape=(32, 32, 3), network=dsh.Network(width=4))
    model.compile()
    with pytest.raises(ExportError, match=r"encoder_micro.tflite.*bits differ.*nothing was exported"):
        export_micro(spread(model, images), tmp_path / "kit", HeldOut.from_splits(model, splits), {})
    assert list(tmp_path.iterdir()) == []


def spread(model, images):
    """Put each bit's threshold into the middle of its values, which are then all near to it."""
    relaxed = model.predict_streams(images)["relaxed_codes"].astype(np.float64)
    for encoder in (model.encoder, model.average_encoder):
        bias = encoder.get_layer("hash").bias
        semantic = relaxed[:, : encoder.semantic_bits]
        bias.assign(bias - np.median(np.log(semantic / (1 - semantic)), axis=0))
    return model


def test_without_its_interpreter_it_says_what_to_install(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    arguments = ["--format", "tflite", "--quantize", "micro", "--output", str(tmp_path / "kit")]
    assert main(["export", str(trained), *arguments]) == 2
    assert "pip install tflite-micro" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="tflite-micro"):
        MicroEncoder(tmp_path)


def test_a_file_for_phones_is_refused(trained, tmp_path):
    arguments = ["--format", "tflite", "--quantize", "int8", "--output", str(tmp_path / "kit")]
    assert main(["export", str(trained), *arguments]) == 0
    with pytest.raises(ExportError, match="--quantize micro"):
        MicroEncoder(tmp_path / "kit" / "encoder_int8.tflite")
