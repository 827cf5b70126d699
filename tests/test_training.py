import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from dshgan_tf.training import runner
from dshgan_tf.training.checkpoints import find_checkpoints, load_newest
from dshgan_tf.training.comparison import read_entries
from dshgan_tf.training.interruption import Interrupted
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.commands.train import read_config
from dshgan_tf.files import write_json
from dshgan_tf.run import Run

TINY = dataclasses.replace(
    PRESETS["smoke"],
    method="dsh-gan",
    num_bits=8,
    steps=6,
    steps_per_epoch=2,
    batch_size=16,
    network=dsh.Network(width=4),
)
METRICS = {"map", "map_at_k", "precision_at_k", "precision_radius_2", "recall_radius_2", "accuracy"}


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name, method in (("gan", "dsh-gan"), ("no_gan", "supervised")):
        train_and_evaluate(dataclasses.replace(TINY, method=method), root / name, verbose=0)
    return root


def test_a_workdir_holds_what_the_contract_says(workdirs):
    workdir = workdirs / "gan"
    for name in ("config.json", "splits.json", "metrics.csv", "tensorboard", "checkpoints", "model.keras", "plots"):
        assert (workdir / name).exists(), name
    results = json.loads((workdir / "results.json").read_text())
    assert METRICS <= set(results["metrics"])
    for key in ("preset", "dataset", "protocol", "seed", "num_bits", "labels_per_class", "method", "steps"):
        assert key in results
    assert results["train_seconds"] > 0 and {"tensorflow", "keras"} <= set(results["versions"])
    assert dsh.RunConfig.load(workdir / "config.json") == TINY
    with (workdir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(np.isfinite(float(row["encoder_loss"])) for row in rows)
    assert len(find_checkpoints(workdir / "checkpoints")) == 2
    for name in ("retrieval", "query", "learning_curves", "code_map"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (workdir / "plots" / "code_map.svg").read_text()
    assert results["code_statistics"]["distinct_codes"] >= 1
    assert list((workdir / "samples").glob("*.png"))
    assert not list(workdir.rglob(".*"))  # no temporary file is left


def test_splits_are_written_and_disjoint(workdirs):
    ids = json.loads((workdirs / "gan" / "splits.json").read_text())["ids"]
    assert not set(ids["query"]) & set(ids["database"] + ids["labeled"] + ids["unlabeled"])
    assert len(ids["query"]) == 200 and len(ids["labeled"]) == 10


def test_the_same_command_again_is_done_and_another_is_refused(workdirs):
    before = (workdirs / "gan" / "results.json").read_text()
    assert train_and_evaluate(TINY, workdirs / "gan") == json.loads(before)
    with pytest.raises(ValueError, match="holds another run .num_bits: 8 there, 9 asked"):
        train_and_evaluate(dataclasses.replace(TINY, num_bits=9), workdirs / "gan")


COMMAND = 'from dshgan_tf.commands.main import main; import sys; sys.exit(main(["train", *sys.argv[1:]]))'


def test_a_run_goes_on_with_other_devices_and_another_number_of_checkpoints(tmp_path):
    workdir = tmp_path / "run"

    def train(*flags):
        command = [
            sys.executable,
            "-c",
            COMMAND,
            "smoke",
            "--synthetic",
            "--workdir",
            str(workdir),
            "--width",
            "4",
            *flags,
        ]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ)

    assert train().returncode == 0
    for path in (workdir / "results.json", find_checkpoints(workdir / "checkpoints")[-1]):
        path.unlink()
    done = train("--strategy", "mirrored", "--logical-devices", "2", "--kept-checkpoints", "5")
    assert done.returncode == 0 and "Epoch 2/2" in done.stdout, done.stderr
    config = json.loads((workdir / "config.json").read_text())
    assert (config["strategy"], config["kept_checkpoints"]) == ("mirrored", 5)


def test_every_field_is_a_flag():
    config, workdir = read_config(
        ["cifar10", "--workdir", "w", "--num-bits", "24", "--labels-per-class", "10", "--seed", "3", "--no-gan"]
        + ["--deterministic", "--protocol", "cifar10-1", "--ramp", "0.5", "--margin", "2"]
    )
    assert str(workdir) == "w" and config.dataset == "cifar10"
    assert (config.num_bits, config.labels_per_class, config.seed, config.method) == (24, 10, 3, "supervised")
    assert config.deterministic and config.protocol == "cifar10-1"
    assert config.objective.ramp == 0.5 and config.objective.margin == 2.0
    assert read_config(["digits", "--workdir", "w", "--no-synthetic"])[0].method == "semi-supervised"
    assert read_config(["digits", "--workdir", "w", "--synthetic"])[0].method == "dsh-gan"
    with pytest.raises(ValueError, match="give one of --method, --no-gan, --no-synthetic and --synthetic"):
        read_config(["digits", "--workdir", "w", "--no-synthetic", "--no-gan"])


def test_a_method_that_the_data_chose_names_nothing_of_a_generator(workdirs, tmp_path):
    shutil.copytree(workdirs / "gan", tmp_path / "run")
    run = Run(tmp_path / "run")
    rates = dataclasses.replace(run.config().optimization, generator_learning_rate=0.01)
    dataclasses.replace(run.config(), optimization=rates).save(run.path("config"))
    assert "generator_learning_rate 0.01" in read_entries(run)[0].method
    dataclasses.replace(run.config(), method=None).save(run.path("config"))
    write_json(run.path("results"), run.read("results") | {"method": "semi-supervised"})
    assert "generator_learning_rate" not in read_entries(run)[0].method


def epochs_of(workdir):
    with (workdir / "metrics.csv").open() as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def test_a_signal_in_an_epochs_last_step_keeps_its_record(tmp_path, monkeypatch):
    class Terminate(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.steps_done == 3:  # the second of two steps of the second epoch
                os.kill(os.getpid(), signal.SIGTERM)

    callbacks = runner._callbacks
    with monkeypatch.context() as context:
        context.setattr(runner, "_callbacks", lambda *a, **more: {"terminate": Terminate(), **callbacks(*a, **more)})
        with pytest.raises(Interrupted) as ended:
            train_and_evaluate(TINY, tmp_path / "run", verbose=0)
    assert ended.value.code == 143 and load_newest(tmp_path / "run" / "checkpoints").steps_done == 4
    assert epochs_of(tmp_path / "run") == ["1", "2"]
    assert not (tmp_path / "run" / "interrupted.json").exists()  # nothing of the next epoch is done
    train_and_evaluate(TINY, tmp_path / "run", verbose=0)
    assert epochs_of(tmp_path / "run") == ["1", "2", "3"]


def test_a_run_that_ends_after_its_last_checkpoint_has_its_instance_bits_when_it_goes_on(tmp_path, digits):
    config = dataclasses.replace(TINY, method="semi-supervised", num_bits=24, steps=2)
    train_and_evaluate(config, tmp_path / "run", verbose=0)
    before = dsh.load_model(tmp_path / "run" / "model.keras").encode(digits.query.images)
    for name in ("results.json", "model.keras"):
        (tmp_path / "run" / name).unlink()
    train_and_evaluate(config, tmp_path / "run", verbose=0)
    codes = dsh.load_model(tmp_path / "run" / "model.keras").encode(digits.query.images)
    np.testing.assert_array_equal(codes, before)
    bits = np.unpackbits(codes, axis=1)[:, 9:24]  # of 24 bits 9 tell the classes of grey images
    assert (bits.min(axis=0) < bits.max(axis=0)).all()


def test_presets_are_the_default_recipe_or_the_papers():
    for name, preset in PRESETS.items():
        assert preset.preset == name
        halves = dsh.Objective.paper(gan_share=0.5)
        assert preset.objective == (halves if name.endswith("_paper") else dsh.Objective())
        assert preset.objective.is_published == name.endswith("_paper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir", "w"], "give DATA as the first word"),
        (["digits"], "give --workdir"),
        (["imagenet", "--workdir", "w"], "cannot train on 'imagenet'"),
        (["digits", "--workdir", "w", "--num-bits", "0"], "num_bits must be greater than or equal to 1, got 0"),
        (["digits", "--workdir", "w", "--steps", "150"], "take 200"),
        (["--config", "missing.json", "--workdir", "w"], "cannot read config missing.json"),
    ],
)
def test_bad_commands_end_with_a_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["train", *arguments])
    except SystemExit as exit:  # tyro found it, and says it in a box
        status = exit.code
    assert status == 2
    printed = capsys.readouterr()
    assert message in re.sub(r"[\s│]+", " ", printed.err + printed.out)
    assert not list(tmp_path.iterdir())


def test_configs_survive_json_and_refuse_what_is_wrong(tmp_path):
    path = tmp_path / "config.json"
    config = dataclasses.replace(PRESETS["digits_paper"], labels_per_class=3, precision="mixed_float16")
    config.save(path)
    assert dsh.RunConfig.load(path) == config
    good = json.loads(path.read_text())
    for change, message in (
        ({"bits": 3}, "unknown field 'bits'"),
        ({"num_bits": "32"}, "num_bits must be a valid integer, got '32'"),
        ({"steps": 2400.0}, "steps must be a valid integer, got 2400.0"),
        ({"unlabeled": 1}, "unlabeled must be a valid boolean, got 1"),
        ({"precision": "int8"}, "precision must be 'float32', .* got 'int8'"),
        ({"objective": {"ramp": True}}, "objective.ramp must be a valid number, got True"),
        ({"objective": {"ramp": 7}}, "objective.ramp must be less than or equal to 1, got 7"),
        ({"objective": {"ramps": 0.5}}, "unknown field 'objective.ramps'"),
        ({"objective": 3}, "config.json: objective must be .* got 3"),
        ({"network": {"adversary": "classes"}}, "this objective needs a network with adversary='own'"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(ValueError, match=message):
            dsh.RunConfig.load(path)


def test_evaluate_lays_runs_side_by_side(workdirs, capsys):
    before = json.loads((workdirs / "gan" / "results.json").read_text())
    assert main(["evaluate", str(workdirs / "gan"), str(workdirs / "no_gan")]) == 0
    printed = capsys.readouterr().out
    maps = [json.loads((workdirs / name / "results.json").read_text())["metrics"]["map"] for name in ("gan", "no_gan")]
    for text in ("without GAN", "gain over", f"{maps[0] - maps[1]:+.3f}", f"{maps[0]:.3f}", f"{maps[1]:.3f}"):
        assert text in printed
    assert json.loads((workdirs / "gan" / "results.json").read_text()) == before
    for name in ("precision_recall", "precision_at_k"):
        assert (workdirs / "plots" / f"{name}.png").exists() and (workdirs / "plots" / f"{name}.svg").exists()
    rows = [line.split("|") for line in (workdirs / "plots" / "results.md").read_text().splitlines() if "|" in line]
    assert {row[rows[0].index(" MAP ")].strip() for row in rows[2:]} == {f"{value:.3f}" for value in maps}
    assert main(["evaluate", str(workdirs)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    assert main(["evaluate", *[str(workdirs / "gan")] * 2]) == 2
    assert "same method with the same seed (0)" in " ".join(capsys.readouterr().err.split())


def test_unseen_classes_baselines_and_shift_from_the_command_line(tmp_path):
    config = dataclasses.replace(TINY, unseen_classes=3, unlabeled_unseen=True, labels_per_class=2)
    train_and_evaluate(config, tmp_path / "unseen", verbose=0)
    assert main(["evaluate", str(tmp_path / "unseen"), "--shift", "--output", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "unseen" / "results.json").read_text())
    assert 0 <= results["metrics"]["accuracy"] <= 1 and results["metrics"]["num_queries"] == 200
    for name in ("map_seen", "map_unseen", "map_among_unseen"):
        assert 0 < results["metrics"][name] < 1
    # A query's rank is its own: the mean over all is the mean over both kinds.
    assert results["metrics"]["map"] == pytest.approx(
        0.7 * results["metrics"]["map_seen"] + 0.3 * results["metrics"]["map_unseen"]
    )
    baselines = json.loads((tmp_path / "unseen" / "baselines.json").read_text())
    hashers = {f"{name}, {of}" for name in ("LSH", "ITQ", "spectral hashing") for of in ("pixels", "trunk")}
    hashers |= {"cosine, pixels, not coded", "cosine, trunk, not coded"}  # labels do not spread to classes without any
    assert set(baselines) == hashers | {"class as code (7 bits)"}
    assert all("map_among_unseen" in row["metrics"] for row in baselines.values())
    shift = json.loads((tmp_path / "unseen" / "shift.json").read_text())
    assert set(shift["map"]) == set(dsh.data.CORRUPTIONS)
    assert {len(curve) for curve in shift["map"].values()} == {6}
    assert {curve[0] for curve in shift["map"].values()} == {results["metrics"]["map"]}
    text = (tmp_path / "out" / "results.md").read_text()
    assert "class as code (7 bits) of 'with GAN'" in text and "drop to 3" in text
    assert "| MAP | MAP seen | MAP unseen | unseen among themselves |" in text
    assert (tmp_path / "out" / "map_over_severity.svg").exists() and "unseen_classes 3" in text
    splits = json.loads((tmp_path / "unseen" / "splits.json").read_text())
    assert len(splits["unseen_names"]) == 3 and len(splits["ids"]["unlabeled"]) == 1797 - 200 - 14


def test_an_altered_split_is_not_evaluated(workdirs, tmp_path, capsys):
    shutil.copytree(workdirs / "no_gan", tmp_path / "run")
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    splits["ids"]["database"] += splits["ids"]["query"]
    (tmp_path / "run" / "splits.json").write_text(json.dumps(splits))
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "the file was altered" in capsys.readouterr().err


def test_validation_map_ranks_labelled_training_images(digits, model):
    logs = {}
    callback = dsh.callbacks.RetrievalEvaluation(digits, every=2)
    callback.set_model(model)
    callback.set_params({"epochs": 4})
    callback.on_epoch_end(0, logs)
    assert logs == {}
    callback.on_epoch_end(1, logs)
    query, database = (model.encode(part.images) for part in (digits.validation, digits.labeled))
    expected = dsh.retrieval.evaluate(query, digits.validation.labels, database, digits.labeled.labels, num_bits=12)
    assert logs == {"val_map": expected["map"]}


def test_no_validation_part_is_said(model, capsys):
    callback = dsh.callbacks.RetrievalEvaluation(dsh.data.load("digits", labels_per_class=1))
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0, logs := {})
    assert "no validation part" in capsys.readouterr().out and logs == {}


def test_a_run_without_any_whole_checkpoint_is_refused(tmp_path):
    (tmp_path / "step-00000002.keras").write_bytes(b"PK")
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(ValueError, match="every checkpoint"):
        load_newest(tmp_path)


def test_a_refused_run_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="images left for 900 labels"):
        train_and_evaluate(dataclasses.replace(TINY, labels_per_class=900), tmp_path / "run")
    with pytest.raises(ValueError, match="batch_size must be 1"):
        train_and_evaluate(dataclasses.replace(TINY, batch_size=10000), tmp_path / "run")
    assert not (tmp_path / "run").exists()
