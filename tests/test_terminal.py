"""One command: its help, its data, its lines and statuses; and nothing on the terminal that is not ours."""

import os
import re
import subprocess
import sys

import pytest

import dshgan_tf as dsh
from dshgan_tf.commands import main, terminal
from dshgan_tf.commands.main import SUBCOMMANDS
from dshgan_tf.commands.train import config_for, read_config

PROGRAM = [sys.executable, "-c", "from dshgan_tf.commands.main import entry; entry()"]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}


def dshgan(*arguments, **options):
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=PLAIN, **options)


def test_no_line_on_the_terminal_is_not_ours(tmp_path):
    run, index = tmp_path / "run", tmp_path / "my.index"
    commands = (
        ("train", "smoke", "--synthetic", "--workdir", run, "--width", "4"),
        ("index", run, "--output", index),
        ("search", index, run / "plots" / "query.png", "--picture", tmp_path / "found.png"),
        ("search", index, "--labels", "3", "--json"),
        ("export", run, "--format", "saved_model", "--output", tmp_path / "served"),
        ("encode", index, run / "plots" / "query.png"),
    )
    printed = {}
    for command in commands:
        done = dshgan(*command)
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", command
        printed[command[0]] = done.stdout
    known = r"digits: 10|encoder [\d.]+ M|RetrievalEvaluation: |Epoch \d/\d|\d/\d - |.*[┏┃┡│└]|\s+Retrieval by"
    for line in printed["train"].splitlines():
        assert re.match(known, line), line
    # With --verbose the libraries are heard again.
    assert "oneDNN" in dshgan("train", "smoke", "--workdir", tmp_path / "other", "--verbose").stderr


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = dshgan("search", tmp_path / "none", tmp_path / "one.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"dshgan search: .* is no index .*; make one with dshgan index\n", done.stderr)


def test_an_error_of_ours_keeps_its_traceback(monkeypatch, tmp_path):
    def broken(path):
        raise ValueError("a fault of ours")  # no InputError

    monkeypatch.setattr("dshgan_tf.run.Run.require_finished", broken)
    with pytest.raises(ValueError, match="a fault of ours"):
        main.main(["evaluate", str(tmp_path)])


def test_a_failing_machine_is_one_line_and_status_1(capsys):
    def full(arguments):
        raise OSError(28, "No space left on device", "model.keras")

    assert terminal.run("train", full, []) == 1
    assert capsys.readouterr().err == "dshgan train: [Errno 28] No space left on device: 'model.keras'\n"


def test_help_is_one_screen_with_an_example_each():
    done = dshgan("--help", cwd="/")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    for name, (example, what) in SUBCOMMANDS.items():
        assert any(f"dshgan {name} {example}".strip() in line and what in line for line in lines), name


def test_every_subcommand_has_help(capsys):
    for name in SUBCOMMANDS:
        with pytest.raises(SystemExit) as ended:
            main.main([name, "--help"])
        assert ended.value.code == 0
        assert f"dshgan {name}" in capsys.readouterr().out


def test_unknown_subcommands_and_versions(capsys):
    assert main.main(["find"]) == 2
    assert "no subcommand 'find'; there are quickstart, data, train" in capsys.readouterr().err
    assert main.main([]) == 2
    assert main.main(["--version"]) == 0
    assert f"dshgan_tf {dsh.__version__}" in capsys.readouterr().out


def test_the_data_are_found_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for name in ("labels.csv", "labels.PARQUET", "notes.txt"):
        (tmp_path / name).write_text("")
    config = config_for("photos")
    assert (config.preset, config.dataset, config.data_dir) == ("folder", "folder", "photos")
    for name in ("labels.csv", "labels.PARQUET"):
        config = config_for(name)
        assert (config.preset, config.dataset, config.data_dir) == ("table", "table", name)
    assert config_for("tfds:mnist").dataset == "tfds:mnist"
    # A preset's name goes before a folder of that name, which ./ reaches.
    (tmp_path / "digits").mkdir()
    assert config_for("digits").dataset == "digits" and config_for("./digits").dataset == "folder"
    for data, message in (
        ("photo", "cannot train on 'photo': DATA is a preset"),
        ("missing.csv", "there is no such file"),
        ("notes.txt", "cannot train on 'notes.txt'"),
        ("tfds:", "cannot train on 'tfds:'"),
    ):
        with pytest.raises(dsh.InputError, match=message):
            config_for(data)


def test_a_config_file_stands_for_the_data(tmp_path):
    config_for("digits").save(tmp_path / "config.json")
    config, workdir = read_config(["--config", str(tmp_path / "config.json"), "--workdir", "w", "--seed", "3"])
    assert (config.preset, config.seed, str(workdir)) == ("digits", 3, "w")
    with pytest.raises(dsh.InputError, match="DATA as the first word"):
        read_config(["digits", "--config", str(tmp_path / "config.json"), "--workdir", "w"])


def test_completions_know_subcommands_and_flags():
    for shell in ("bash", "zsh"):
        script = dshgan("tab-completion", shell).stdout
        for word in ("search", "--radius", "--table", "--labels-per-class", "--weight-decay", "tab-completion"):
            assert word in script, (shell, word)
    assert subprocess.run(["bash", "-n"], input=dshgan("tab-completion", "bash").stdout, text=True).returncode == 0
