import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from dshgan_tf.training.comparison import (
    Entry,
    Setting,
    data_name,
    departures,
    group,
    method_of,
    paired_difference,
    variant_of,
)
from dshgan_tf.training.comparison_plots import _colour, map_over_labels
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.tables import results_sheet, shift_sheet

from dshgan_tf.config import Network, Objective, Optimization, RunConfig
from dshgan_tf.run import Run

SETTING = Setting("digits", "digits", 32, 1, 1200)


def entry(method, seed, value, setting=SETTING, **changes):
    metrics = {"map": value, "precision_radius_2": value, "accuracy": value}
    return Entry(setting, method, seed, metrics, 10.0, Run(f"{method}-{seed}"), **changes)


def test_paired_difference_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484138.
    difference = paired_difference({0: 2.0, 1: 4.0, 2: 6.0, 9: 50.0}, {0: 1.0, 1: 2.0, 2: 3.0, 8: 7.0})
    assert (difference.mean, difference.seeds) == (2.0, 3)
    assert difference.low == pytest.approx(2 - 2.484138) and difference.high == pytest.approx(2 + 2.484138)
    assert str(difference) == "+2.000 [-0.484, +4.484]"
    assert str(paired_difference({0: 0.5}, {0: 0.25})) == "+0.250"
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_methods_are_named_by_what_differs():
    run = {"method": "dsh-gan", "unlabeled": True, "objective": dataclasses.asdict(Objective())}
    assert method_of(run) == "with GAN"
    assert method_of(run | {"objective": dataclasses.asdict(Objective.paper())}) == "paper"
    assert method_of(run | {"objective": dataclasses.asdict(Objective(ramp=0.5))}) == "with GAN, ramp 0.5"
    assert method_of(run | {"method": "semi-supervised"}) == "no synthetic images"
    assert method_of(run | {"method": "supervised"}) == "without GAN"
    assert method_of(run | {"unlabeled": False}) == "with GAN, no unlabelled images"


def test_runs_of_the_paper_at_other_rates_are_told_apart():
    paper = PRESETS["digits_paper"]
    assert departures(paper) == departures(RunConfig()) == []
    faster = dataclasses.replace(paper.optimization, encoder_learning_rate=0.004)
    assert departures(dataclasses.replace(paper, optimization=faster)) == ["encoder_learning_rate 0.004"]
    assert departures(RunConfig(method="dsh-gan", network=Network(adversary="own"))) == ["adversary own"]
    assert departures(RunConfig(method="dsh-gan", optimization=Optimization(generator_learning_rate=0.01))) == [
        "generator_learning_rate 0.01"
    ]
    assert (
        departures(RunConfig(method="semi-supervised", optimization=Optimization(generator_learning_rate=0.01))) == []
    )  # there is no generator
    assert (
        departures(RunConfig(optimization=Optimization(encoder_learning_rate=0.01))) == []
    )  # bears on every method: `variant_of` names it


def test_own_data_are_told_apart_by_their_names():
    assert data_name(RunConfig(dataset="folder", data_dir="/a/scenes/")) == "scenes"
    assert data_name(RunConfig(dataset="table", data_dir="/a/scenes/labels.csv")) == "scenes/labels.csv"
    assert data_name(RunConfig(dataset="cifar10", data_dir="/a/tfds")) == "cifar10"


def test_the_table_has_means_deviations_and_paired_gains():
    runs = [entry("without GAN", seed, value) for seed, value in enumerate((0.1, 0.2, 0.3))]
    runs += [entry("with GAN", seed, value) for seed, value in ((0, 0.3), (1, 0.5), (2, 0.4), (7, 0.9))]
    runs.append(entry("ITQ, pixels", 0, 0.15, is_baseline=True))
    sheet = results_sheet(runs)
    cells = {row[sheet.columns.index("method")]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}
    assert cells["without GAN"]["MAP"] == "0.200 ± 0.100" and cells["without GAN"]["seeds"] == "0-2"
    assert cells["without GAN"]["gain over without GAN"] == "-"
    # Paired on seeds 0 to 2: differences 0.2, 0.3, 0.1.
    assert cells["with GAN"]["gain over without GAN"] == "+0.200 [-0.048, +0.448]"
    assert cells["with GAN"]["MAP"] == "0.525 ± 0.263" and cells["with GAN"]["seeds"] == "0, 1, 2, 7"
    assert cells["ITQ, pixels"]["MAP"] == "0.150" and cells["ITQ, pixels"]["seconds"] == "-"
    assert "gain over no synthetic images" not in sheet.columns and "gain over paper" not in sheet.columns
    assert f"| {' | '.join(sheet.rows[0])} |" in sheet.to_markdown()
    assert sheet.to_rich().row_count == 3


def test_networks_are_not_mixed():
    assert variant_of(RunConfig()) == ""
    assert (
        variant_of(RunConfig(network=Network(width=64), optimization=Optimization(encoder_learning_rate=0.01)))
        == "width 64, encoder_learning_rate 0.01"
    )
    paper = RunConfig(
        objective=Objective.paper(),
        network=Network(width=64, adversary="own"),
        optimization=Optimization(encoder_learning_rate=0.01),
    )
    assert variant_of(paper) == "width 64"  # so that the default is compared with it
    wide = dataclasses.replace(SETTING, variant="width 64")
    sheet = results_sheet([entry("without GAN", 0, 0.2), entry("with GAN", 0, 0.9, wide), entry("with GAN", 1, 0.8)])
    assert [row[0] for row in sheet.rows] == ["digits", "digits", "digits, width 64"]


def test_every_curve_has_its_colour():
    names = ["with GAN", "with GAN, ramp 0.5", "without GAN", "with GAN, ramp 0.1"]
    assert len({_colour(name, names) for name in names}) == 4


def test_settings_are_not_mixed():
    other = dataclasses.replace(SETTING, labels_per_class=5)
    sheet = results_sheet([entry("without GAN", 0, 0.2, other), entry("with GAN", 0, 0.9)])
    assert len(sheet.rows) == 2 and not any(name.startswith("gain") for name in sheet.columns)


def test_the_same_seed_twice_is_refused_but_for_baselines_of_one_split():
    with pytest.raises(ValueError, match="same method with the same seed .3.; leave one out"):
        group([entry("with GAN", 3, 0.1), entry("with GAN", 3, 0.1)])
    baselines = [entry("LSH, pixels", 3, 0.1, is_baseline=True)] * 2
    assert len(group(baselines)[SETTING, "LSH, pixels"]) == 1


def test_the_drop_of_corrupted_queries_by_hand():
    def shifted(method, seed, *curves):
        return entry(method, seed, curves[0][0], shift={f"kind{i}": list(curve) for i, curve in enumerate(curves)})

    runs = [
        shifted("without GAN", 0, (0.8, 0.7, 0.6, 0.4, 0.3, 0.2), (0.8, 0.8, 0.8, 0.6, 0.5, 0.4)),
        shifted("with GAN", 0, (0.9, 0.9, 0.9, 0.8, 0.7, 0.6), (0.9, 0.9, 0.9, 0.8, 0.7, 0.6)),
        shifted("no synthetic images", 0, (0.9, 0.9, 0.9, 0.75, 0.7, 0.6)),
        entry("paper", 0, 0.5),
    ]
    sheet = shift_sheet(runs)
    rows = {row[sheet.columns.index("method")]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}
    assert set(rows) == {"without GAN", "no synthetic images", "with GAN"}
    assert rows["without GAN"]["clean"] == "0.800" and rows["without GAN"]["severity 3"] == "0.500"
    assert rows["without GAN"]["drop to 3"] == "0.300" and rows["with GAN"]["drop to 3"] == "0.100"
    assert rows["with GAN"]["drop less that of without GAN"] == "-0.200"
    assert rows["with GAN"]["drop less that of no synthetic images"] == "-0.050"
    assert rows["no synthetic images"]["drop less that of without GAN"] == "-0.150"
    assert "drop less that of paper" not in sheet.columns
    assert shift_sheet(runs[-1:]) is None


def test_map_over_labels_has_a_line_a_method():
    runs = [
        entry(method, seed, base + 0.01 * seed + 0.02 * labels, dataclasses.replace(SETTING, labels_per_class=labels))
        for method, base in (("with GAN", 0.5), ("without GAN", 0.3))
        for labels in (1, 5, 10)
        for seed in (0, 1)
    ]
    figure = map_over_labels(group(runs))
    lines = {container.get_label(): container[0].get_xydata() for container in figure.axes[0].containers}
    np.testing.assert_allclose(lines["with GAN"], [[1, 0.525], [5, 0.605], [10, 0.705]])
    np.testing.assert_allclose(lines["without GAN"][:, 1], [0.325, 0.405, 0.505])
    plt.close(figure)
