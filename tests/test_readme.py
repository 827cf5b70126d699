"""The README's Python and its commands run as they stand, and its files are there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.commands.main import SUBCOMMANDS, main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split(" #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]
# What makes a training of minutes one of seconds; everything else of a command is as it stands.
SHORT = "--steps 4 --steps-per-epoch 2 --width 4 --num-bits 16".split()


def test_the_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 2
    shortened = "\n".join(blocks).replace("epochs=50", "epochs=1").replace("epochs=20", "epochs=1")
    assert shortened.count("epochs=1") == 2
    subprocess.run([sys.executable, "-c", shortened], check=True, cwd=tmp_path)
    assert dsh.load_model(tmp_path / "digits.keras").steps_done > 0


def make_photos(folder):
    """Two classes, cat and dog, and one picture that is asked for."""
    splits = dsh.data.load("digits")
    for name, digit in (("cat", 1), ("dog", 7)):
        (folder / "photos" / name).mkdir(parents=True)
        for i, image in enumerate(splits.database.images[splits.database.labels == digit][:40]):
            Image.fromarray(image[..., 0]).save(folder / "photos" / name / f"{i}.png")
    Image.fromarray(image[..., 0]).save(folder / "one.jpg")


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_photos(tmp_path)
    run = set()
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "make" or arguments[0] in ("demo", "db", "quickstart"):  # tests/test_demo.py and others
            continue
        # The file that the shell would write is not the program's.
        arguments = arguments[: arguments.index(">")] if ">" in arguments else arguments
        if arguments[0] in ("train", "tune"):
            arguments += SHORT
        if arguments[0] == "tune":
            arguments[arguments.index("--trials") + 1] = "2"
        if arguments[0] == "tab-completion":
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert not ended.value.code
        elif "--quantize" in arguments:  # an encoder of four steps is no encoder to be quantised
            continue
        else:
            assert main(arguments) == 0, (command, capsys.readouterr().err)
        run.add(arguments[0])
    assert run == set(SUBCOMMANDS) - {"quickstart", "demo", "db"}
    for made in (
        "photos.index/manifest.json",
        "nearest.png",
        "samples.png",
        "runs/tune/best.json",
        "runs/plots/results.md",
    ):
        assert (tmp_path / made).exists(), made


def test_the_files_of_the_readme_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_readme_is_short():
    assert len(re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()) <= 900
