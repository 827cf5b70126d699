"""Two processes on loopback: the same training as one; files by one of them; what a lost worker means."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dshgan_tf.training.checkpoints import find_checkpoints
from dshgan_tf.training.devices import prepare_devices
from dshgan_tf.training.presets import PRESETS

WORKER = Path(__file__).parent / "worker.py"
COMMAND = 'from dshgan_tf.commands.main import main; import sys; sys.exit(main(["train", *sys.argv[1:]]))'


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start_workers(commands):
    """Start one process a command, all of one cluster."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"TF_CONFIG": json.dumps({"cluster": {"worker": hosts}, "task": task(i)})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, command in enumerate(commands)
    ]


def task(index):
    return {"type": "worker", "index": index}


def finish(processes):
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


def test_four_devices_and_two_processes_equal_one(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    for devices in (1, 4):
        command = [sys.executable, str(WORKER), str(tmp_path / f"devices{devices}.npz"), str(devices)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    finish(start_workers([[str(WORKER), str(tmp_path / f"worker{i}.npz"), "1"] for i in range(2)]))
    one, *others = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("devices1", "devices4", "worker0", "worker1"))
    for other in others:
        assert other.keys() == one.keys()
        for name, value in one.items():
            if name not in ("log_bit_imbalance", "log_synthetic_diversity"):  # of a replica's batch, not of all
                np.testing.assert_allclose(other[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    assert one["log_generator_loss"] > 0


def wait_for_checkpoint(folder, after, process):
    """Wait for a checkpoint of more than `after` steps."""
    deadline = time.monotonic() + 180
    while not any(int(path.stem[-8:]) > after for path in find_checkpoints(folder)):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def test_one_command_line_and_one_writer_and_lost_workers(tmp_path):
    flags = ["smoke", "--strategy", "mirrored", "--workdir", str(tmp_path / "run"), "--width", "4", "--num-bits", "8"]
    flags += ["--steps", "48", "--steps-per-epoch", "4", "--batch-size", "16"]
    command, folder, saved = ["-c", COMMAND, *flags], tmp_path / "run" / "checkpoints", 0
    for number, status, said in ((signal.SIGKILL, -9, ""), (signal.SIGTERM, 143, "SIGTERM: the same command again")):
        chief, other = start_workers([command, command])
        wait_for_checkpoint(folder, saved, chief)
        other.send_signal(number)
        printed, _ = other.communicate(timeout=120)
        assert other.returncode == status and said in printed
        printed, errors = chief.communicate(timeout=120)
        assert chief.returncode == 1, errors[-2000:]
        assert "a worker was lost" in errors and "start all of them again" in errors
        assert f"Epoch {saved // 4 + 1}/12" in printed  # where the one before was lost
        saved = int(find_checkpoints(folder)[-1].stem[-8:])
        assert 0 < saved < 48
    processes = start_workers([command, command])
    printed = processes[0].communicate(timeout=240)[0]
    finish(processes)
    assert f"Epoch {saved // 4 + 1}/12" in printed
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["steps"] == 48 and results["health"]["non_finite_updates"] == 0


def test_a_cluster_without_a_strategy_is_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": task(0)}))
    with pytest.raises(ValueError, match="TF_CONFIG names 2 workers; add --strategy mirrored"):
        prepare_devices(PRESETS["smoke"])
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(ValueError, match="TF_CONFIG is not what TensorFlow wants"):
        prepare_devices(PRESETS["smoke"])
