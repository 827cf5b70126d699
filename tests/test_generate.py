"""Synthetic images asked for by the names of their classes."""

import dataclasses

import numpy as np
import pytest
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.commands.main import main


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train_and_evaluate(
        dataclasses.replace(PRESETS["smoke"], method="dsh-gan", network=dsh.Network(width=4)), folder, verbose=0
    )
    return folder


def test_rows_of_pictures_by_name(workdir, tmp_path, capsys):
    picture = tmp_path / "some" / "picture.png"
    assert main(["generate", str(workdir), "7", "0|1", "--count", "3", "--seed", "5", "--output", str(picture)]) == 0
    assert "from top to bottom: 7, 0|1" in capsys.readouterr().out
    rows = np.zeros((6, 10), np.uint8)
    rows[:3, 7] = rows[3:, :2] = 1
    images = dsh.load_model(workdir / "model.keras").generate(rows, seed=5)
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (2 + 2 * 34, 2 + 3 * 34, 3)
    for i, image in enumerate(images):  # each pixel four times as high and wide, 2 pixels of white between images
        top, left = 2 + i // 3 * 34, 2 + i % 3 * 34
        np.testing.assert_array_equal(pixels[top : top + 32 : 4, left : left + 32 : 4, 0], image[..., 0])


def test_what_cannot_be_made_is_said(workdir, tmp_path, capsys):
    for arguments, message in (
        ([str(workdir), "cat"], "no class 'cat'; there are 0, 1, 2"),
        ([str(workdir), "--count", "0"], "--count must be at least 1"),
        ([str(tmp_path)], "holds no finished run"),
    ):
        assert main(["generate", *arguments, "--output", str(tmp_path / "x.png")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
