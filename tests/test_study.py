"""The rows of the results page are commands that exist, and no two of a study are the same run."""

import dataclasses
import json
import os
import runpy
from pathlib import Path

import pytest

from dshgan_tf.commands.train import read_config

STUDY = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "study.py"))
STUDIES = STUDY["STUDIES"]


@pytest.mark.parametrize("name", STUDIES)
def test_rows_are_different_runs(name):
    configs = [read_config([*row, "--seed", "0", "--workdir", "run"])[0] for row in STUDIES[name].rows.values()]
    assert all(configs[i] != configs[j] for i in range(len(configs)) for j in range(i))
    assert {config.dataset for config in configs} == {name.split("-")[0]}


def test_the_rivals_of_a_budget_share_all_but_the_method():
    rows = STUDIES["cifar10-labels"].rows
    gan, rival, baseline = (
        read_config([*rows[f"{method}_50"], "--workdir", "run"])[0] for method in ("dsh_gan", "no_synthetic", "no_gan")
    )
    assert [config.method for config in (gan, rival, baseline)] == ["dsh-gan", "semi-supervised", "supervised"]
    for field in ("labels_per_class", "steps", "batch_size", "precision", "network", "optimization"):
        assert getattr(gan, field) == getattr(rival, field) == getattr(baseline, field)
    assert gan.labels_per_class == 50 and gan.steps == 1000


def test_a_run_of_an_older_recipe_is_not_taken_for_the_row(tmp_path):
    is_done, row = STUDY["is_done"], STUDIES["digits-labels"].rows["dsh_gan_2"]
    assert not is_done(row, 3, tmp_path)
    config, _ = read_config([*row, "--seed", "3", "--workdir", "run"])
    config.save(tmp_path / "config.json")
    assert not is_done(row, 3, tmp_path)  # begun, not finished
    (tmp_path / "results.json").write_text("{}")
    assert is_done(row, 3, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["objective"]["scale_by_confidence"]  # a field that its version had not
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="other settings"):
        is_done(row, 3, tmp_path)


def test_all_finished_runs_of_a_study_are_compared(tmp_path):
    study = STUDIES["digits-labels"]
    for name in ("dsh_gan_2_3", "paper_10_0", "elsewhere_0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text("{}")
        row, _, seed = name.rpartition("_")
        arguments = study.rows.get(row, ("digits",))
        read_config([*arguments, "--seed", seed, "--workdir", "run"])[0].save(tmp_path / name / "config.json")
    (tmp_path / "dsh_gan_2_4").mkdir()  # begun
    assert [run.name for run in STUDY["finished"](study, tmp_path)] == ["dsh_gan_2_3", "paper_10_0"]


def test_a_failed_run_is_told_and_the_others_go_on(tmp_path, capsys):
    study = dataclasses.replace(STUDIES["digits-labels"], rows={"odd": ("digits", "--steps", "-1")}, seeds=(0, 1))
    with pytest.raises(SystemExit, match="(?s)2 of 2 runs failed.*odd_0.log ended with 2.*odd_1.log"):
        STUDY["train"](study, tmp_path, sorted(os.sched_getaffinity(0)))
    assert "steps must" in (tmp_path / "odd_1.log").read_text()
