"""The search: its first trial, a kill, what it refuses, and several processes that share it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import keras_tuner as kt
import pytest
from dshgan_tf.training.build import build
from dshgan_tf.training.tune import _Random

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.commands.train import read_config

SMALL = ["--labels-per-class", "5", "--steps", "4", "--steps-per-epoch", "2", "--width", "4", "--num-bits", "8"]
COMMAND = 'import sys; from dshgan_tf.commands.main import main; sys.exit(main(["tune", *sys.argv[1:]]))'


def start(workdir, *arguments, **environment):
    command = [sys.executable, "-c", COMMAND, "digits", *SMALL, "--workdir", str(workdir), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def finish(process, timeout=200):
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors[-2000:]
    return out


def trials(workdir):
    return json.loads((workdir / "trials.json").read_text())["trials"]


def test_a_killed_search_goes_on_and_says_whether_it_improved(tmp_path):
    workdir = tmp_path / "search"
    process = start(workdir, "--trials", "3", "--no-gan")
    deadline = time.monotonic() + 150
    while not (workdir / "search" / "trial_1").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (workdir / "trials.json").exists()
    first = json.loads((workdir / "search" / "trial_0" / "trial.json").read_text())

    printed = finish(start(workdir, "--trials", "3", "--no-gan"))
    rows = trials(workdir)
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["val_map"] == first["score"]  # the trial that was done is not done again
    # The first trial is the run that the search starts from.
    objective = dsh.Objective().resolve(16, multi_label=False)
    assert rows[0]["real_triplet_weight"] == objective.real_triplet_weight and rows[0]["encoder_learning_rate"] == 4e-3
    assert len({row["encoder_learning_rate"] for row in rows}) == 3
    best = max(rows, key=lambda row: row["val_map"])
    improved = best["val_map"] > rows[0]["val_map"]
    assert ("improved on the start: val_map" in printed) == improved
    assert ("no trial improved on the start" in printed) == (not improved)
    config = dsh.RunConfig.load(workdir / "best.json")
    assert config.optimization.encoder_learning_rate == best["encoder_learning_rate"]
    assert config.steps == 4 and config.method == "supervised"
    assert config == read_config(["--config", str(workdir / "best.json"), "--workdir", "run"])[0]  # as it would train
    assert list((workdir / "tensorboard").rglob("events*"))

    other = start(workdir, "--trials", "3")  # with unlabelled images: another search
    _, errors = other.communicate(timeout=200)
    assert other.returncode == 2 and "holds another search" in " ".join(errors.split())


def test_a_trial_that_only_its_own_file_knows_is_drawn_anew(tmp_path, monkeypatch):
    def oracle():
        made = _Random(max_trials=3, objective=kt.Objective("val_map", "max"), seed=0)
        made.hyperparameters.Float("rate", 0.0, 1.0)
        made._set_project_dir(str(tmp_path), "search")
        return made

    begun = oracle()
    begun.create_trial("first")
    with monkeypatch.context() as killed:
        killed.setattr(begun, "save", lambda: None)
        lost = begun.create_trial("second")
    again = oracle()
    again.reload()
    assert (tmp_path / "search" / "trial_1").exists() and list(again.trials) == ["0"]
    assert again.create_trial("second").trial_id == "0"  # the one that ran when it was killed
    redrawn = again.create_trial("third")
    assert (redrawn.trial_id, redrawn.hyperparameters.values) == ("1", lost.hyperparameters.values)


def test_a_trial_has_its_precision_whatever_policy_is_set(digits):
    keras.config.set_dtype_policy("float32")  # as keras-tuner leaves it before every trial
    config = dsh.RunConfig(labels_per_class=5, num_bits=8, precision="mixed_bfloat16", network=dsh.Network(width=4))
    assert build(config, digits).encoder.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_hyperband_runs(tmp_path):
    finish(start(tmp_path / "search", "--no-gan", "--oracle", "hyperband", "--steps", "6"))
    assert trials(tmp_path / "search")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels-per-class", "4", "--trials", "2"], "leave no validation part"),
        (["--no-validation", "--trials", "2"], "leaves nothing to judge trials on"),
        (["--trials", "1"], "trials must be at least 2"),
        (["--trials", "6", "--oracle", "hyperband"], "hyperband plans its trials"),
        (["--strategy", "mirrored", "--logical-devices", "2"], "a trial runs on one device"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, message, tmp_path, capsys):
    assert main(["tune", "digits", *SMALL, "--workdir", str(tmp_path / "search"), *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_chief_and_two_workers_share_one_search(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    workdir = tmp_path / "search"
    arguments = ("--trials", "4", "--no-gan", "--oracle", "random")
    chief = start(workdir, *arguments, KERASTUNER_TUNER_ID="chief", **environment)
    workers = [start(workdir, *arguments, KERASTUNER_TUNER_ID=f"worker{i}", **environment) for i in range(2)]
    for worker in workers:
        finish(worker)
    finish(chief)
    rows = trials(workdir)
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[0]["encoder_learning_rate"] == 4e-3 and len({row["encoder_learning_rate"] for row in rows}) == 4
    assert dsh.RunConfig.load(workdir / "best.json").steps == 4
