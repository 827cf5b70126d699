"""Queries that nearly show a searched image are told, with a frozen backbone."""

import json

import numpy as np
import pytest
from dshgan_tf.training.near_copies import find_near_copies, line_of
from dshgan_tf.training.presets import PRESETS
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.commands.main import main
from dshgan_tf.run import Run


def test_near_directions_are_found_by_hand():
    query = np.array([[1, 0], [0, 2]], np.float32)
    searched = np.array([[0.3, 1], [5, 0.1], [1, 0.25], [1, 0.35], [0, 9]], np.float32)
    # Cosines with (1, 0): 0.287, 0.9998, 0.970, 0.944, 0; with (0, 1): 0.958, 0.02, 0.243, 0.33, 1.
    pairs, cosines = find_near_copies(query, searched)
    assert pairs.tolist() == [[1, 4], [0, 1], [0, 2]]
    np.testing.assert_allclose(cosines, [1, 0.9998, 0.9701], atol=1e-4)


def test_many_searched_images_and_none():
    rng = np.random.default_rng(0)
    searched = rng.normal(size=(20_000, 16)).astype(np.float32)
    query = searched[[19_999, 7, 8_192]] * 3
    pairs, _ = find_near_copies(query, searched)
    assert {(0, 19_999), (1, 7), (2, 8_192)} <= set(map(tuple, pairs.tolist()))
    pairs, cosines = find_near_copies(query, np.repeat(query[:1], 500, axis=0))
    assert (pairs[:, 0] == 0).all() and len(pairs) == 10 == len(cosines)  # a query has ten at most
    assert len(find_near_copies(query, -query)[0]) == 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Noise of two kinds, and one picture that is there twice, the second time a little darker."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, scale in (("fine", 1), ("coarse", 4)):
        (folder / label).mkdir()
        for number in range(12):
            grid = rng.integers(0, 256, (8 // scale, 8 // scale), np.uint8)
            Image.fromarray(grid).resize((8, 8), Image.Resampling.NEAREST).save(folder / label / f"{number:02d}.png")
    return folder


def test_a_run_on_a_frozen_backbone_tells_them(photos, trunk, tmp_path, capsys):
    flags = ["--backbone", str(trunk), "--trained-layers", "0", "--labels-per-class", "2", "--num-bits", "8"]
    flags += ["--steps", "4", "--steps-per-epoch", "4", "--batch-size", "4", "--workdir", str(tmp_path / "run")]
    splits = dsh.data.load("folder", 2, PRESETS["folder"].seed, data_dir=str(photos))
    query, searched = splits.query, splits.database
    twin = int(np.flatnonzero(searched.labels != query.labels[0])[0])  # of another class
    names = sorted(path for path in photos.rglob("*.png"))
    pixels = np.asarray(Image.open(names[query.ids[0]])).astype(np.float32)
    Image.fromarray((0.98 * pixels).astype(np.uint8)).save(names[searched.ids[twin]])
    assert main(["train", str(photos), *flags]) == 0
    run = Run(tmp_path / "run")
    found = json.loads(run.path("near_copies").read_text())
    (pair,) = [pair for pair in found["pairs"] if pair["query"] == int(query.ids[0]) and pair["cosine"] > 0.999]
    assert pair["image"] == int(searched.ids[twin]) and not pair["share_a_label"]
    assert "queries nearly show a searched image" in capsys.readouterr().out
    assert "pairs with different labels: " in line_of(run)
    assert (run.path("plots") / "near_copies.png").exists()
