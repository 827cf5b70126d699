"""Runs that are killed, asked to end, or short of disk, go on to what they would have been. `make soak` kills more."""

import csv
import dataclasses
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from dshgan_tf.training.checkpoints import find_checkpoints
from dshgan_tf.training.presets import PRESETS

from dshgan_tf.config import Network

COMMAND = 'from dshgan_tf.commands.main import main; import sys; sys.exit(main(["train", *sys.argv[1:]]))'
KILLS = int(os.environ.get("DSHGAN_KILLS", "3"))
CONFIG = dataclasses.replace(
    PRESETS["smoke"],
    method="dsh-gan",
    num_bits=16,  # 8 of them instance bits
    steps=240,
    steps_per_epoch=24,
    batch_size=16,
    deterministic=True,
    network=Network(width=4),
)


def start(config, workdir, **environment):
    config.save(workdir.with_suffix(".json"))
    command = [sys.executable, "-c", COMMAND, "--config", str(workdir.with_suffix(".json")), "--workdir", str(workdir)]
    given = os.environ | environment
    given = {name: value for name, value in given.items() if not name.endswith("_THREADS")}  # as a user has it
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given)


def wait(process, condition):
    """Wait until `condition()`; False when the process ended before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def finish(process):
    printed, errors = process.communicate()
    assert process.returncode == 0, printed + errors
    return printed, errors


def steps_saved(workdir):
    found = find_checkpoints(workdir / "checkpoints")
    return int(found[-1].stem[-8:]) if found else 0


def is_saving(workdir):
    return bool(list((workdir / "checkpoints").glob(".step-*.keras")))


def arrays(workdir):
    """Everything in model.keras: weights, averages, both optimizers, noise, metrics."""
    with zipfile.ZipFile(workdir / "model.keras") as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    found = {}
    with h5py.File(weights) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def without(row, *names):
    return {key: value for key, value in row.items() if key not in names}


def assert_same_run(one, other):
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys() and len(first) > 50
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    rows = [list(csv.DictReader((workdir / "metrics.csv").read_text().splitlines())) for workdir in (one, other)]
    for a, b in zip(*rows, strict=True):
        assert without(a, "seconds") == without(b, "seconds")
    results = [json.loads((workdir / "results.json").read_text()) for workdir in (one, other)]
    assert without(results[0], "train_seconds") == without(results[1], "train_seconds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("survival") / "whole"
    finish(start(CONFIG, workdir))
    return workdir


def kill_one(process, workdir, before, kind, rng):
    """Kill a run while it saves, within an epoch, or anywhere; False when it was done before."""
    if kind == 0:
        alive = wait(process, lambda: steps_saved(workdir) > before) and wait(process, lambda: is_saving(workdir))
    elif kind == 1:
        alive = wait(process, lambda: steps_saved(workdir) > before)
        time.sleep(rng.random() * 0.3)
    else:
        time.sleep(rng.random() * 15)
        alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive and process.returncode == -signal.SIGKILL


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(whole, tmp_path):
    rng, kills, runs = random.Random(KILLS), 0, 0
    while kills < KILLS:
        workdir, alive = tmp_path / f"killed{runs}", True
        while alive and kills < KILLS:
            process = start(CONFIG, workdir)
            alive = kill_one(process, workdir, steps_saved(workdir), kills % 3, rng)
            kills += alive
        finish(start(CONFIG, workdir))  # what is left of it; or it says that it is done
        assert_same_run(workdir, whole)
        assert not list((workdir / "checkpoints").glob(".step-*"))  # what a kill left half written is gone
        runs += 1
    print(f"{kills} kills of {runs} runs")


def test_a_fine_tuned_run_killed_in_each_of_its_parts_ends_as_if_it_had_not_been(trunk, tmp_path):
    """While it keeps features, in its first stage, between the two, and in its second."""
    network = Network(backbone=str(trunk), trained_layers=0)
    more = {"network": network, "steps": 96, "fine_tune": 150, "fine_tuned_layers": 1, "precision": "float32"}
    config = dataclasses.replace(CONFIG, **more)
    finish(start(config, tmp_path / "whole", XDG_CACHE_HOME=str(tmp_path / "cache_of_whole")))
    workdir, cache = tmp_path / "killed", tmp_path / "cache"
    moments = (
        lambda: any(path.stat().st_size for path in cache.rglob("features.f32")),
        lambda: steps_saved(workdir / "frozen") >= 48,
        lambda: (workdir / "frozen" / "results.json").exists(),
        lambda: steps_saved(workdir) >= 50,
    )
    for moment in moments:
        process = start(config, workdir, XDG_CACHE_HOME=str(cache))
        assert wait(process, moment), process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (workdir / "results.json").exists()
    finish(start(config, workdir, XDG_CACHE_HOME=str(cache)))
    for part in ("", "frozen"):
        assert_same_run(workdir / part, tmp_path / "whole" / part)


def test_sigterm_saves_within_an_epoch_and_ends_with_143(whole, tmp_path):
    workdir = tmp_path / "terminated"
    process = start(CONFIG, workdir)
    assert wait(process, lambda: steps_saved(workdir) >= 24)
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate()
    assert process.returncode == 143, printed + errors
    saved = int(re.search(r"SIGTERM: saved at step (\d+)", printed).group(1))
    assert steps_saved(workdir) == saved > 24 and saved < 240
    finish(start(CONFIG, workdir))
    assert_same_run(workdir, whole)


def test_a_full_disk_leaves_the_last_checkpoint_and_a_damaged_one_falls_back(whole, tmp_path):
    workdir = tmp_path / "full"
    process = start(CONFIG, workdir)
    assert wait(process, lambda: steps_saved(workdir) >= 48)
    size = find_checkpoints(workdir / "checkpoints")[0].stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size // 2, size // 2))  # no file may be so long any more
    printed, errors = process.communicate()
    assert process.returncode == 1 and "cannot write a checkpoint" in errors, printed + errors
    assert "Traceback" not in errors and "is whole; make room there" in errors
    newest = find_checkpoints(workdir / "checkpoints")[-1]
    assert newest.name in errors
    newest.write_bytes(newest.read_bytes()[:1000])
    before = steps_saved(workdir)
    printed, errors = finish(start(CONFIG, workdir))
    assert "is damaged" in errors and f"Epoch {before // 24}/10" in printed
    assert_same_run(workdir, whole)
