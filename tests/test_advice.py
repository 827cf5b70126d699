"""What a run is told before it begins, and `--precision auto`."""

import dataclasses

import keras
import numpy as np
import pytest
from dshgan_tf.training import precision
from dshgan_tf.training.advice import advice
from dshgan_tf.training.runner import train_and_evaluate

import dshgan_tf as dsh
from dshgan_tf.config import Network, Objective, Optimization, RunConfig
from dshgan_tf.run import Run

SMOKE = RunConfig(
    dataset="digits", labels_per_class=1, num_bits=8, steps=4, steps_per_epoch=2, network=Network(width=4)
)


def photographs(side, channels=3):
    images = np.zeros((40, side, side, channels), np.uint8)
    return dsh.data.from_arrays(images, np.arange(40) % 2, labels_per_class=5, queries_per_class=5)


@pytest.mark.parametrize(("side", "channels", "told"), [(64, 3, True), (96, 3, True), (63, 3, False), (96, 1, False)])
def test_photographs_without_a_pretrained_backbone(side, channels, told):
    lines = advice(SMOKE, photographs(side, channels))
    assert len(lines) == told and all("--trained-layers 0" in line for line in lines)


@pytest.mark.parametrize(("labels", "told"), [(1, "1 label"), (4, "2 labels"), (9, "5 labels"), (10, "10 labels")])
def test_a_frozen_backbone_says_what_was_reached(labels, told):
    splits = dsh.data.from_arrays(
        np.zeros((60, 96, 96, 3), np.uint8), np.arange(60) % 2, labels_per_class=labels, queries_per_class=5
    )
    config = dataclasses.replace(SMOKE, network=Network(backbone="MobileNetV2", trained_layers=0))
    (line,) = advice(config, splits)
    assert line.startswith(f"with {told} a class") and "reached MAP" in line


def test_with_a_backbone_nothing_is_said():
    assert advice(dataclasses.replace(SMOKE, network=Network(backbone="MobileNetV2")), photographs(96)) == []


@pytest.mark.parametrize(("flags", "emulated"), [("fpu avx2 fma", True), ("fpu avx2 avx512f", False), (None, False)])
def test_16_bits_on_a_cpu_without_avx_512(flags, emulated, tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor: 0\nflags\t\t: {flags}\n" if flags else "processor: 0\n")
    assert precision.emulates_16_bits(cpuinfo) == emulated
    monkeypatch.setattr("dshgan_tf.training.advice.emulates_16_bits", lambda: emulated)
    half = dataclasses.replace(SMOKE, precision="mixed_bfloat16")
    assert ("--precision auto" in "".join(advice(half, photographs(8)))) == emulated
    assert advice(SMOKE, photographs(8)) == []


def test_settings_of_a_generator_that_does_not_train_are_told():
    def told(**changes):
        return advice(dataclasses.replace(SMOKE, **changes), photographs(8))

    (line,) = told(objective=Objective(anchor_stride=1, diversity_weight=0.0), network=Network(width=4, noise_dim=8))
    assert line == (
        "nothing is generated, so these settings change nothing: diversity_weight, anchor_stride, noise_dim; "
        "--synthetic trains a generator"
    )
    assert told(method="dsh-gan", objective=Objective(anchor_stride=1)) == told(objective=Objective(ramp=0.1)) == []
    assert told(objective=Objective.paper(), network=Network(width=4, adversary="own")) == []
    assert len(told(optimization=Optimization(generator_learning_rate=0.1))) == 1


def test_the_faster_precision_is_taken_and_the_run_is_as_if_it_had_been_named(tmp_path, monkeypatch, capsys):
    whole, tried = precision.seconds_a_step, []

    def measured(config, splits):
        tried.append(config.precision)
        if config.precision == "float32":
            assert whole(config, splits) > 0  # it must leave no trace
        return {"float32": 0.1, "mixed_bfloat16": 0.2}[config.precision]

    monkeypatch.setattr(precision, "seconds_a_step", measured)
    smoke = dataclasses.replace(SMOKE, method="dsh-gan")
    train_and_evaluate(dataclasses.replace(smoke, precision="auto"), tmp_path / "auto", verbose=2)
    assert tried == ["float32", "mixed_bfloat16"]
    told = "precision: float32 100 ms a step, mixed_bfloat16 200 ms a step; this run takes float32"
    assert told in capsys.readouterr().out
    train_and_evaluate(smoke, tmp_path / "named", verbose=0)
    auto, named = (Run(tmp_path / name).load_model() for name in ("auto", "named"))
    assert auto.precision == "float32"
    for one, other in zip(auto.average_encoder.weights, named.average_encoder.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_step_on_features_is_measured_too(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pixels = keras.Input((8, 8, 1))
    keras.Model(pixels, keras.layers.Flatten()(pixels)).save(tmp_path / "trunk.keras")
    network = Network(backbone=str(tmp_path / "trunk.keras"), trained_layers=0)
    config = dataclasses.replace(SMOKE, network=network)
    assert precision.seconds_a_step(config, dsh.data.load("digits", labels_per_class=1)) > 0


@pytest.mark.parametrize("also", [{"deterministic": True}, {"strategy": "mirrored", "logical_devices": 2}])
def test_what_must_be_the_same_again_is_not_measured(also):
    with pytest.raises(ValueError, match="name the precision"):
        RunConfig(precision="auto", **also)
