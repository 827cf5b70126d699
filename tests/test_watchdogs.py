"""Numbers that are not finite stop a training or are skipped; collapse and saturation are seen."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from dshgan_tf.training.health import health
from dshgan_tf.training.presets import PRESETS

import dshgan_tf as dsh
from dshgan_tf.callbacks import StopOnNonFinite, WatchTheGan
from dshgan_tf.callbacks.watch_the_gan import diagnose
from dshgan_tf.commands.main import main
from dshgan_tf.errors import NotFinite
from dshgan_tf.metrics import sample_diversity


def broken_batches(splits, at):
    """The stream of `triplets`, with one pixel that is not a number in batch `at`, counted from 0."""

    def break_one(i, batch):
        nan = tf.where(tf.equal(i, at), np.nan, 0.0)
        return {**batch, "unlabeled_image": batch["unlabeled_image"] + tf.cast(nan, tf.float32)}

    batches = dsh.data.triplets(splits, 16, seed=3).enumerate().map(break_one)
    batches.label_frequency = splits.label_frequency
    return batches


def test_training_stops_at_the_step_that_is_not_finite_and_names_its_images(digits, model, tmp_path):
    (tmp_path / "good.keras").touch()
    guard = StopOnNonFinite(digits, 16, seed=3, checkpoints=lambda: [tmp_path / "good.keras"])
    with pytest.raises(NotFinite) as caught:
        model.fit(broken_batches(digits, at=2), epochs=1, steps_per_epoch=5, callbacks=[guard], verbose=0)
    message = str(caught.value)
    assert message.startswith("step 3: the loss or a gradient is not finite") and "good.keras" in message
    assert "(adversary_loss, balance_loss, encoder_loss" in message  # not classification_loss, of labelled images
    order = guard._order.batch(2)
    seen = [*digits.labeled.ids[order[0]], *digits.unlabeled.ids[order[1]]]
    assert all(str(image) in message for image in seen) and len(seen) == 32
    assert model.steps_done == 3


def test_a_skipped_update_leaves_nothing_behind(digits):
    def build():
        keras.utils.set_random_seed(1)
        model = dsh.DSHGAN(
            method="dsh-gan",
            num_bits=12,
            num_classes=10,
            image_shape=digits.image_shape,
            network=dsh.Network(width=4, noise_dim=8),
        )
        model.compile(objective=dsh.Objective(ema_decay=0.0), optimization=dsh.Optimization(non_finite="skip"))
        return model

    model = build()
    history = model.fit(broken_batches(digits, at=0), epochs=1, steps_per_epoch=1, verbose=0).history
    assert history["non_finite_updates"] == [1.0]  # the generator does not see the broken image
    untouched = build()
    for network in ("encoder", "average_encoder"):
        for a, b in zip(getattr(model, network).weights, getattr(untouched, network).weights, strict=True):
            if "instance" not in a.path:  # learnt after all updates
                np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    assert model.steps_done == 1
    history = model.fit(dsh.data.triplets(digits, 16, seed=3), epochs=1, steps_per_epoch=3, verbose=0).history
    assert history["non_finite_updates"] == [0.0]
    assert all(np.isfinite(value).all() for value in history.values())
    assert all(np.isfinite(variable.numpy()).all() for variable in model.encoder.weights + model.generator.weights)


def test_sound_updates_are_the_same_with_and_without_skipping(digits):
    models = []
    for skip in (False, True):
        keras.utils.set_random_seed(1)
        model = dsh.DSHGAN(
            method="dsh-gan",
            num_bits=12,
            num_classes=10,
            image_shape=digits.image_shape,
            network=dsh.Network(width=4, noise_dim=8),
        )
        model.compile(optimization=dsh.Optimization(non_finite="skip" if skip else "stop"))
        model.fit(dsh.data.triplets(digits, 16, seed=3), epochs=1, steps_per_epoch=3, verbose=0)
        models.append(model)
    for a, b in zip(models[0].encoder.weights, models[1].encoder.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7, err_msg=a.path)


def test_a_learning_rate_without_bounds_ends_with_a_line(tmp_path, capsys):
    flags = ["smoke", "--workdir", str(tmp_path / "run"), "--encoder-learning-rate", "1e30", "--width", "4"]
    assert main(["train", *flags, "--steps", "8"]) == 1
    printed = capsys.readouterr()
    assert "not finite" in printed.err and "the last good checkpoint is" in printed.err
    assert not (tmp_path / "run" / "results.json").exists()


def test_diversity_by_hand():
    # Two images of one label differ by 0.2 in every pixel, real ones by 1: pairs in both orders, RMS 0.2 of 1.
    images = np.stack([np.full((2, 2, 1), value, np.float32) for value in (0.0, 0.2, 0.9)])
    labels = np.float32([[1, 0], [1, 0], [0, 1]])
    real = np.stack([np.full((2, 2, 1), value, np.float32) for value in (0.0, 1.0)])
    ratio, pairs = sample_diversity(images, labels, real)
    assert float(ratio) == pytest.approx(0.2, rel=1e-5) and float(pairs) == 2
    assert float(sample_diversity(images, np.eye(3, dtype=np.float32), real)[1]) == 0


def test_collapse_and_saturation_are_said_once(digits, model, capsys):
    # A generator whose first layer does not see the noise makes one picture a label set.
    start = model.generator.get_layer("start")
    kernel = start.kernel.numpy()
    kernel[: model.generator.noise_dim] = 0
    start.kernel.assign(kernel)
    frozen = keras.optimizers.SGD(1e-12)
    model.compile(generator_optimizer=frozen, objective=dsh.Objective(augment=False))
    model.fit(dsh.data.triplets(digits, 64), epochs=2, steps_per_epoch=2, callbacks=[WatchTheGan()], verbose=0)
    assert capsys.readouterr().out.count("mode collapse") == 1
    logs = {"synthetic_diversity": 0.5, "real_accuracy": 0.999, "synthetic_accuracy": 1.0}
    assert list(diagnose(logs)) == ["saturated adversary"]
    assert not diagnose({**logs, "real_accuracy": 0.7}) and not diagnose({"accuracy": 1.0})


def test_health_names_the_epochs(tmp_path):
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        columns = ["epoch", "synthetic_diversity", "real_accuracy", "synthetic_accuracy", "non_finite_updates"]
        writer = csv.writer(file)
        writer.writerows([columns, [1, 0.01, 0.5, 0.5, 2], [2, 0.6, 0.5, 0.5, 0], [3, 0.02, 1.0, 1.0, 1]])
    expected = {"mode collapse": [1, 3], "saturated adversary": [3]}
    assert health(tmp_path / "metrics.csv") == {"non_finite_updates": 3, "epochs_with": expected}


def test_every_seed_is_its_own(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], method="dsh-gan", seed=4, order_seed=9)
    assert config.seeds == {"split": 4, "order": 9, "weights": 4, "noise": 4}
    with pytest.raises(ValueError, match="noise_seed must be greater than or equal to 0, got -1"):
        dataclasses.replace(config, noise_seed=-1)
