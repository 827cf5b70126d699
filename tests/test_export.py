import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from dshgan_tf.export.convert import CONVERTER
from dshgan_tf.export.parity import Floor, compare
from dshgan_tf.export.quantize import Layer, first, large, layers, quantize
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate
from PIL import Image
from test_fuzz import odd_json, try_all

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.errors import ExportError
from dshgan_tf.search.litert_encoder import LiteRTEncoder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    # 12 bits: the last byte of a code is half padding.
    config = dataclasses.replace(PRESETS["smoke"], method="dsh-gan", num_bits=12, network=dsh.Network(width=4))
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
        assert main(["export", str(workdir), "--format", "saved_model", "--output", str(output)]) == 0
        assert (output / str(version) / "saved_model.pb").exists()
        assert "SavedModel, encode_bytes" in (output / str(version) / "MODEL_CARD.md").read_text()
    assert sorted(path.name for path in output.iterdir()) == ["1", "2"]
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "run.py").write_text(ALL_SIGNATURES)
    subprocess.run([sys.executable, "run.py", str(output / "1")], check=True, cwd=tmp_path, capture_output=True)
    found = np.load(tmp_path / "found.npz")
    expected = expected_codes(workdir, images)
    for name in ("from_pixels", "from_files", "from_bytes"):
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    logits = dsh.load_model(workdir / "model.keras").predict_streams(images)["class_logits"]
    np.testing.assert_array_equal(found["class_id"], logits.argmax(axis=1))
    np.testing.assert_array_equal(found["class_name"].astype(int), logits.argmax(axis=1))
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
    manifest = json.loads((output / "1" / "manifest.json").read_text())
    assert (manifest["num_bits"], manifest["bitorder"], manifest["image_shape"]) == (12, "big", [8, 8, 1])
    for name, checksum in manifest["sha256"].items():
        assert hashlib.sha256((output / "1" / name).read_bytes()).hexdigest() == checksum
    assert "assets.extra/tf_serving_warmup_requests" in manifest["sha256"]
    report = json.loads((output / "1" / "export_report.json").read_text())
    assert [row["parity"]["different"] for row in report] == [0, 0] and report[0]["parity"]["images"] == 200


ALL_SIGNATURES = """
import sys
import numpy as np
import tensorflow as tf

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in ("dshgan_tf", "training", "export", "keras_hub"), name

sys.meta_path.insert(0, Nowhere())
images = np.load("images.npy")
signatures = tf.saved_model.load(sys.argv[1]).signatures
assert set(signatures) == {"serving_default", "encode_bytes", "classify"}
pixels = signatures["serving_default"](images=tf.constant(images, tf.float32))
files = tf.constant([tf.io.encode_png(image).numpy() for image in images])
from_files = signatures["encode_bytes"](image_bytes=files)
classes = signatures["classify"](images=tf.constant(images, tf.float32))
joined = [np.frombuffer(code, np.uint8) for code in from_files["codes_bytes"].numpy()]
np.savez("found.npz", from_pixels=pixels["codes"], from_files=from_files["codes"], from_bytes=np.stack(joined),
         class_name=classes["class_name"].numpy().astype(str), class_id=classes["class_id"],
         probabilities=classes["probabilities"])
assert not [name for name in sys.modules if name.startswith("dshgan")]
"""


def run_without_tensorflow(file, images, tmp_path):
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
    return np.load(tmp_path / "codes.npy")


def test_tflite_runs_without_tensorflow(workdir, images, tmp_path):
    assert main(["export", str(workdir), "--format", "tflite", "--output", str(tmp_path / "edge")]) == 0
    file = tmp_path / "edge" / "encoder_float32.tflite"
    np.testing.assert_array_equal(run_without_tensorflow(file, images, tmp_path), expected_codes(workdir, images))
    assert json.loads((tmp_path / "edge" / "encoder_float32.json").read_text())["num_bits"] == 12


@pytest.fixture(scope="module")
def edge(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("exports") / "deep" / "edge"
    assert main(["export", str(trained), "--format", "tflite", "--quantize", "all", "--output", str(output)]) == 0
    return output


def test_every_variant_reaches_its_floor(edge, trained, images, tmp_path):
    report = {row["name"]: row for row in json.loads((edge / "export_report.json").read_text())}
    assert list(report) == [f"encoder_{variant}.tflite" for variant in ("float32", "float16", "dynamic", "int8")]
    expected = dsh.codes.unpack(expected_codes(trained, images), 12)
    for name, floor in zip(report, (0.9999, 0.999, 0.995, 0.985), strict=True):
        assert report[name]["agreement"] >= floor
        assert report[name]["map"] >= report[name]["keras_map"] - 0.01
        # Judged again here, by a process without TensorFlow.
        codes = run_without_tensorflow(edge / name, images, tmp_path)
        assert np.mean(dsh.codes.unpack(codes, 12) == expected) >= floor - 0.01
        sidecar = json.loads((edge / name).with_suffix(".json").read_text())
        assert sidecar["sha256"] == hashlib.sha256((edge / name).read_bytes()).hexdigest()
    sizes = [(edge / name).stat().st_size for name in report]
    assert sizes[0] > 1.4 * sizes[1] and sizes[1] > sizes[2] and sizes[0] > 1.9 * sizes[3]


def test_the_interface_that_android_has_gives_the_same_codes(edge, images):
    """LiteRT's CompiledModel takes one image at a time of a file whose batch is open."""
    from ai_edge_litert.compiled_model import CompiledModel

    for variant in ("float32", "float16", "dynamic", "int8"):
        file = edge / f"encoder_{variant}.tflite"
        model = CompiledModel.from_file(str(file))
        inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
        assert model.get_signature_by_index(0)["outputs"][0] == "codes"  # as HashImage.kt takes it
        codes = []
        for image in images:
            inputs[0].write(image.reshape(-1))
            model.run_by_index(0, inputs, outputs)
            codes.append(outputs[0].read(2, np.uint8))
        np.testing.assert_array_equal(codes, LiteRTEncoder(file).encode(images))


def test_a_thousand_odd_sidecars_are_refused_by_name(edge, tmp_path):
    rng = random.Random(9)
    for ending in ("tflite", "json"):
        shutil.copy(edge / f"encoder_int8.{ending}", tmp_path / f"encoder_int8.{ending}")
    encoder, path = LiteRTEncoder(tmp_path / "encoder_int8.tflite"), tmp_path / "encoder_int8.json"
    told = encoder.sidecar()
    size = -(-told["num_bits"] // 8)

    def read(path):
        about = encoder.sidecar()
        assert -(-about["num_bits"] // 8) == size and about["image_shape"] == told["image_shape"]

    try_all(path, (odd_json(told, rng) for _ in range(1000)), read)
    path.write_text(json.dumps(told | {"sha256": "0" * 64}))
    with pytest.raises(ValueError, match="does not describe"):
        encoder.sidecar()


def test_int8_is_int8_by_channel_within_and_bytes_without(edge):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(edge / "encoder_int8.tflite"))
    tensors = interpreter.get_tensor_details()
    kernels = [tensor for tensor in tensors if tensor["dtype"] == np.int8 and len(tensor["shape"]) == 4]
    scales = [len(tensor["quantization_parameters"]["scales"]) for tensor in kernels]
    assert max(scales) > 1  # channels are scaled apart
    convolutions = [op for op in interpreter._get_ops_details() if op["op_name"] == "CONV_2D"]
    types = {tensor["index"]: tensor["dtype"] for tensor in tensors}
    assert convolutions and all(types[op["outputs"][0]] == np.int8 for op in convolutions)
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8


def test_which_layers_stay_in_float_by_hand():
    sizes = [("CONV_2D", 320), ("DEPTHWISE_CONV_2D", 90_000), ("CONV_2D", 3124), ("CONV_2D", 3125)]
    sizes += [("CONV_2D", 9000)] * 8 + [("FULLY_CONNECTED", 100_000)]
    found = [Layer(operation, str(i), weights, np.float32) for i, (operation, weights) in enumerate(sizes)]
    # A 32nd of 100,000 weights is 3,125.
    assert [layer.name for layer in large(found)] == [*map(str, range(3, 13))]
    assert [layer.name for layer in first(found)] == ["0", "1"]  # a sixth of 12 convolutions
    assert first(found[:5]) == []


def test_the_first_convolutions_stay_in_float(tmp_path):
    """Twelve convolutions and a dense layer: the sixth that sees pixels is float32, and only that."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    for _ in range(6):
        x = keras.layers.Conv2D(8, 1, activation="relu")(keras.layers.DepthwiseConv2D(3, padding="same")(x))
    x = keras.layers.Dense(6, activation="sigmoid")(keras.layers.Flatten()(x))
    model, archive = keras.Model(pixels, x), keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, 8, 8, 3), tf.uint8, name="images")]
    archive.add_endpoint("serving_default", lambda images: {"y": model(tf.cast(images, "float32"))}, signature)
    archive.write_out(str(tmp_path / "model"), verbose=False)
    whole, images = tmp_path / "float32.tflite", np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    CONVERTER.run({"saved_model": str(tmp_path / "model"), "target": str(whole), "variant": "float32"})
    for variant in ("int8", "dynamic"):
        target = tmp_path / f"{variant}.tflite"
        quantize(whole, target, variant, images)
        found = layers(target)
        assert len(found) == 13
        floats = [layer.operation for layer in found if layer.dtype == np.float32]
        if variant == "int8":
            assert floats == ["DEPTHWISE_CONV_2D", "CONV_2D"] and [x.dtype for x in found[2:]] == [np.int8] * 11
        else:
            assert floats.count("DEPTHWISE_CONV_2D") == 6 and found[-1].dtype == np.int8
        run = Interpreter(str(target)).get_signature_runner("serving_default")
        outputs = np.concatenate([run(images=image[None])["y"] for image in images])
        np.testing.assert_allclose(outputs, model.predict(images, verbose=0), atol=0.05)
        assert target.stat().st_size < whole.stat().st_size


def test_a_variant_below_its_floor_leaves_nothing_behind(trained, tmp_path, monkeypatch, capsys):
    from dshgan_tf.export import tflite

    monkeypatch.setitem(tflite.FLOORS, "int8", Floor(agreement=1.01, map_loss=1))
    output = tmp_path / "edge"
    assert main(["export", str(trained), "--format", "tflite", "--quantize", "all", "--output", str(output)]) == 1
    assert "encoder_int8.tflite" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_conversions_share_a_process_until_it_leaked_enough(tmp_path, monkeypatch):
    from dshgan_tf.export import convert

    module = tf.Module()
    inputs = [tf.TensorSpec((1, 2), tf.float32, name="x")]
    module.f = tf.function(lambda x: {"y": 2.0 * x}, input_signature=inputs)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.f})
    job = {"saved_model": str(tmp_path / "model"), "target": str(tmp_path / "out.tflite"), "variant": "float32"}
    monkeypatch.setattr(convert, "MOST", 2)
    converter = convert.Converter()
    processes = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        converter.run({"saved_model": "../model", "target": "../out.tflite", "variant": "float32"})
        processes.append(converter._process.pid)
        assert (tmp_path / "out.tflite").stat().st_size > 0
        (tmp_path / "out.tflite").unlink()
    assert processes[0] == processes[1] != processes[2]
    with pytest.raises(ExportError, match=r"(?s)refused out.tflite \(float32\).*nowhere"):
        converter.run(job | {"saved_model": str(tmp_path / "nowhere")})
    converter.run(job)  # another process took over

    def interrupted(line):  # by Ctrl-C, after the job was sent
        converter._process.stdin.write(line + "\n")
        converter._process.stdin.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(converter, "_ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            converter.run(job)
    assert converter._process is None  # its late answer must not be taken for the next job's
    (tmp_path / "out.tflite").unlink(missing_ok=True)
    converter.run(job)
    assert (tmp_path / "out.tflite").exists()
    converter.close()


def test_the_edge_kit_runs_in_a_venv_of_its_own(edge, trained, images, tmp_path):
    """Builds the venv that a device has: NumPy, Pillow and ai-edge-litert, no TensorFlow, none of this project."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    requirements = ["-r", str(edge / "requirements.txt")]
    subprocess.run([str(python), "-m", "pip", "install", "-q", *requirements], check=True, capture_output=True)
    absent = subprocess.run([str(python), "-c", "import tensorflow"], capture_output=True, cwd=tmp_path)
    assert absent.returncode != 0
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(images[:6]):
        Image.fromarray(image.squeeze()).save(tmp_path / "pictures" / f"{i}.png")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments):
        command = [str(python), str(edge / "hash_images.py"), str(edge / "encoder_float32.tflite"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    lines = run("hash", "pictures").stdout.splitlines()
    expected = [code.tobytes().hex() for code in expected_codes(trained, images[:6])]
    assert [line.split()[0] for line in lines] == expected
    assert run("hash", "pictures", "--output", "codes.npz").stdout == "6 codes in codes.npz\n"
    found = run("search", "codes.npz", "pictures/4.png", "--k", "6").stdout.splitlines()
    assert len(found) == 6 and found[0].startswith("0 ")
    assert [int(line.split()[0]) for line in found] == sorted(int(line.split()[0]) for line in found)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    broken = run("hash", "broken.png")
    assert broken.returncode == 2 and "broken.png" in broken.stderr and "Traceback" not in broken.stderr
    table = subprocess.run(
        [str(python), str(edge / "latency.py"), str(edge / "encoder_int8.tflite")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert table.stdout.count("encoder_int8.tflite") == 2, table.stderr  # one line for 1 thread, one for 2


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.8, 1.5])
def test_a_killed_export_shows_only_whole_versions(workdir, tmp_path, delay):
    output = tmp_path / "served"
    code = "import sys; from dshgan_tf.commands.main import main; sys.exit(main(['export', *sys.argv[1:]]))"
    arguments = [str(workdir), "--format", "saved_model", "--output", str(output)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(output.glob(".*.part")):
        time.sleep(0.001)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    process.kill()
    process.wait()
    whole = [path for path in output.iterdir() if path.name.isdigit()]
    assert all((path / "manifest.json").exists() for path in whole)
    for leftover in output.glob(".*.part"):
        os.utime(leftover, (0, 0))  # as if it had lain there for long
    assert main(["export", *arguments]) == 0
    assert sorted(path.name for path in output.iterdir()) == [str(i + 1) for i in range(len(whole) + 1)]


def test_two_exports_at_once_take_two_versions(workdir, tmp_path):
    from dshgan_tf.export.saved_model import _publish

    (tmp_path / "out" / "1").mkdir(parents=True)
    (tmp_path / "out" / "1" / "saved_model.pb").touch()
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "saved_model.pb").touch()
    real = sorted((tmp_path / "out").iterdir())
    # The folder is listed, and then another export takes version 2.
    (tmp_path / "out" / "2").mkdir()
    (tmp_path / "out" / "2" / "saved_model.pb").touch()

    class Listed(type(tmp_path)):
        def iterdir(self):
            return iter(real)

    assert _publish(tmp_path / "part", Listed(tmp_path / "out")).name == "3"


def test_exports_of_several_variants_share_a_report(edge, trained):
    assert main(["export", str(trained), "--format", "tflite", "--output", str(edge)]) == 0
    report = json.loads((edge / "export_report.json").read_text())
    assert [row["name"] for row in report] == [f"encoder_{v}.tflite" for v in ("float32", "float16", "dynamic", "int8")]


def test_the_model_card_holds_the_figures_of_the_run(edge, trained):
    card = (edge / "MODEL_CARD.md").read_text()
    results = json.loads((trained / "results.json").read_text())
    rows = dict(line.strip("| ").split(" | ", 1) for line in card.splitlines() if line.startswith("| "))
    assert rows["MAP of the whole ranking"] == f"{results['metrics']['map']:.4f}"
    assert rows["accuracy of the class stream"] == f"{results['metrics']['accuracy']:.4f}"
    assert rows["method"] == "labelled images alone" and results["method"] == "supervised"
    for row in json.loads((edge / "export_report.json").read_text()):
        assert rows[row["name"]].split(" | ")[1:3] == [f"{row['agreement']:.4%}", f"{row['map']:.4f}"]
    assert "12 bits" in card and "`codes`, 2 bytes an image" in card
    assert "- Classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in card
    assert str(trained) not in card  # no path of this machine


BOMBS = """
import resource, sys
import tensorflow as tf

encode = tf.saved_model.load(sys.argv[1]).signatures["encode_bytes"]
good, *bombs = [open(path, "rb").read() for path in sys.argv[2:]]
codes = encode(image_bytes=tf.constant([good]))["codes"].numpy()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in bombs:
    try:
        encode(image_bytes=tf.constant([good, bomb]))
        raise SystemExit("a bomb was decoded")
    except tf.errors.InvalidArgumentError:
        pass
assert (encode(image_bytes=tf.constant([good]))["codes"].numpy() == codes).all()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 100 * 1024, grown  # KiB; one of them decoded is 1.2 GB
"""


def test_bombs_take_no_memory_and_the_model_goes_on(workdir, images, tmp_path):
    from test_decoding import jpeg_header, png_header

    assert main(["export", str(workdir), "--format", "saved_model", "--output", str(tmp_path / "out")]) == 0
    contents = [png_header(20_000, 20_000), jpeg_header(20_000, 20_000), png_header(1_000_000, 16)]
    Image.fromarray(images[0].squeeze()).save(tmp_path / "good.png")
    paths = [tmp_path / "good.png"]
    for i, content in enumerate(contents):
        paths.append(tmp_path / f"bomb{i}")
        paths[-1].write_bytes(content)
    command = [sys.executable, "-c", BOMBS, str(tmp_path / "out" / "1"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_parity_counts_by_hand():
    relaxed = np.array([[0.9, 0.1, 0.5 + 1e-6], [0.2, 0.8, 0.7]])
    # Keras' bits are 101 and 011; the export says 100 and 111: one undecided bit and one wrong bit differ.
    parity = compare(np.array([[0b10000000], [0b11100000]], np.uint8), relaxed)
    assert (parity.images, parity.bits, parity.different, parity.undecided) == (2, 6, 2, 1)
    assert parity.agreement == pytest.approx(4 / 6)
    with pytest.raises(ExportError, match="encoder: 1 of 6 bits differ from Keras'.*nothing was exported"):
        Floor(0.99, 1).check("encoder", parity, 0.5, 0.5)
    Floor(0.8, 0.01).check("encoder", parity, 0.495, 0.5)
    with pytest.raises(ExportError, match="MAP 0.4800 is more than 0.01 below Keras' 0.5000"):
        Floor(0.8, 0.01).check("encoder", parity, 0.48, 0.5)


def test_a_wrong_export_never_becomes_visible(workdir, tmp_path, monkeypatch, capsys):
    from dshgan_tf.export import held_out

    wrong = lambda codes, relaxed: compare(~codes & 0xF0, relaxed)  # noqa: E731
    monkeypatch.setattr(held_out, "compare", wrong)
    assert main(["export", str(workdir), "--format", "saved_model", "--output", str(tmp_path)]) == 1
    assert "bits differ from Keras'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["mixed_bfloat16"])
def test_runs_in_mixed_precision_are_exported_like_any_other(precision, tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], method="dsh-gan", precision=precision, network=dsh.Network(width=4))
    code = (
        "import sys; from dshgan_tf.training.runner import train_and_evaluate;"
        "from dshgan_tf.config import RunConfig;"
        "train_and_evaluate(RunConfig.load(sys.argv[1]), sys.argv[2], verbose=0)"
    )
    config.save(tmp_path / "config.json")  # a process of its own: the policy is the process'
    command = [sys.executable, "-c", code, str(tmp_path / "config.json"), str(tmp_path / "run")]
    subprocess.run(command, check=True, capture_output=True)
    for form in ("saved_model", "tflite"):
        assert main(["export", str(tmp_path / "run"), "--format", form, "--output", str(tmp_path / form)]) == 0
    model = dsh.load_model(tmp_path / "run" / "model.keras")
    for network, expected in ((model.encoder, precision.removeprefix("mixed_")), (model.average_encoder, "float32")):
        assert {layer.compute_dtype for layer in network.layers if isinstance(layer, keras.layers.Conv2D)} == {expected}


def test_quantising_a_saved_model_is_refused(workdir, tmp_path, capsys):
    arguments = [str(workdir), "--format", "saved_model", "--quantize", "int8", "--output", str(tmp_path / "out")]
    assert main(["export", *arguments]) == 2 and "--quantize int8 is for --format tflite" in capsys.readouterr().err


def test_export_of_nothing_is_refused(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--format", "tflite", "--output", str(tmp_path / "out")]) == 2
    assert "holds no finished run" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_files_that_are_no_images_are_named(workdir, tmp_path, content, capsys):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    assert main(["encode", str(workdir), str(path)]) == 2
    assert "broken.png" in capsys.readouterr().err.replace("\n", "")


def test_only_the_tested_litert_js_is_taken(trained, tmp_path, capsys):
    arguments = ["export", str(trained), "--format", "web", "--output", str(tmp_path / "kit"), "--litert-js"]
    assert main([*arguments, str(tmp_path)]) == 2
    assert "does not hold @litertjs/core" in capsys.readouterr().err
    for package in ("core", "wasm-utils"):
        (tmp_path / "@litertjs" / package).mkdir(parents=True)
        (tmp_path / "@litertjs" / package / "package.json").write_text('{"version": "9.0.0"}')
    assert main([*arguments, str(tmp_path)]) == 2
    assert "npm install @litertjs/core@2.5.3" in capsys.readouterr().err
    assert (
        main(["export", str(trained), "--format", "tflite", "--output", str(tmp_path / "kit"), "--litert-js", "x"]) == 2
    )
    assert not (tmp_path / "kit").exists()
