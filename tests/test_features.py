"""A frozen trunk: features are computed once and kept, a teacher labels them, what trains on them encodes pixels."""

import dataclasses
import shutil

import keras
import keras_tuner as kt
import numpy as np
import pytest
import tensorflow as tf
from dshgan_tf.training.advice import advice
from dshgan_tf.training.baselines import evaluate_baselines
from dshgan_tf.training.build import build
from dshgan_tf.training.comparison import read_entries
from dshgan_tf.training.cost import describe_features
from dshgan_tf.training.fine_tuning import second_stage, taught_pixels, unfreeze
from dshgan_tf.training.runner import train_and_evaluate
from dshgan_tf.training.tune import Recipe

import dshgan_tf as dsh
from dshgan_tf.commands.train import read_config
from dshgan_tf.config import RunConfig
from dshgan_tf.data.feature_cache import FeatureCache, image_digests, trunk_checksum, trunk_features
from dshgan_tf.data.feature_splits import feature_splits
from dshgan_tf.data.trunk_size import side_for
from dshgan_tf.images.nearest_images import NearestImages
from dshgan_tf.losses.pseudo_labels import taught_labels
from dshgan_tf.losses.similarity import similarity_loss
from dshgan_tf.run import Run, load_data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dshgan_tf" / "features"


@pytest.fixture(scope="module")
def splits():
    return dsh.data.load("digits", labels_per_class=1, seed=50)


def frozen(trunk, method="semi-supervised", generator="auto"):
    keras.utils.set_random_seed(1)
    network = dsh.Network(backbone=str(trunk), trained_layers=0, generator=generator)
    return dsh.DSHGAN(24, 10, (8, 8, 1), method=method, network=network)


def test_similarity_by_hand():
    # Codes 11 and 10 of K = 2 bits, as signs (1, 1) and (1, -1); the other is 11. Products over K: 1 and 0.
    codes, other = np.array([[1.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 1.0]])
    labels, other_labels = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[1.0, 0.0]])
    # Labels in common with probability 0.5 and 1: (1 - 0.5)^2 and (0 - 1)^2.
    np.testing.assert_allclose(similarity_loss(codes, labels, other, other_labels), [0.25, 1.0])
    # Where an image may have several labels: 1 - exp(-0.5) = 0.3935 and 1 - exp(-1) = 0.6321; two of them 0.8647.
    found = similarity_loss(codes, labels, other, other_labels, multi_label=True)
    np.testing.assert_allclose(found, [0.6065**2, 0.6321**2], rtol=1e-3)
    both = np.array([[1.0, 1.0]])
    np.testing.assert_allclose(similarity_loss(other, both, other, both, multi_label=True), [0.1353**2], rtol=1e-3)


def test_taught_labels_by_hand():
    taught, logits = np.array([[0.8, 0.2]]), np.log(np.array([[0.4, 0.6]]))
    # Squares 0.64 and 0.04; then the mean with the encoder's (0.4, 0.6) is (0.6, 0.4), squares 0.36 and 0.16.
    np.testing.assert_allclose(taught_labels(taught, logits, 0.0, False), [[0.64 / 0.68, 0.04 / 0.68]])
    np.testing.assert_allclose(taught_labels(taught, logits, 0.5, False), [[0.36 / 0.52, 0.16 / 0.52]])
    # Several labels: each against its absence, 0.8^2 / (0.8^2 + 0.2^2).
    np.testing.assert_allclose(taught_labels(taught, np.zeros((1, 2)), 0.0, True), [[0.64 / 0.68, 0.04 / 0.68]])


def test_features_are_the_trunks_and_computed_once(trunk, splits, cache, monkeypatch):
    model = frozen(trunk)
    images = splits.query.images[:150]
    found = trunk_features(model.average_encoder, images)
    expected = keras.models.load_model(trunk).predict(images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    monkeypatch.setattr("dshgan_tf.data.feature_cache._compute", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(trunk_features(frozen(trunk).average_encoder, images[::-1]), found[::-1])
    assert len(list(cache.iterdir())) == 1
    assert len(trunk_features(model.average_encoder, images[:0])) == 0


def test_another_trunk_has_other_features(trunk, cache):
    model, other = frozen(trunk), frozen(trunk)
    kernel = next(weight for weight in other.average_encoder.trunk_features().weights if weight.shape[-1] == 64)
    kernel.assign(kernel + 0.1)
    assert trunk_checksum(model.average_encoder) == trunk_checksum(model.encoder)  # whether it trains is no matter
    assert trunk_checksum(model.average_encoder) != trunk_checksum(other.average_encoder)


def test_what_a_killed_process_left_is_cut_off(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
    digests, features = image_digests(images), np.arange(18, dtype=np.float32).reshape(6, 3)
    cache = FeatureCache(tmp_path, 3)
    cache.add(digests[:2], features[:2])
    with (tmp_path / "features.f32").open("ab") as file:  # two rows and a half, without the images that they are of
        file.write(b"\xff" * 30)
    with (tmp_path / "images.blake2").open("ab") as file:  # half of an image's checksum
        file.write(b"\xff" * 8)
    again = FeatureCache(tmp_path, 3)
    assert len(again) == 2 and again.find(digests).tolist() == [0, 1, -1, -1, -1, -1]
    again.add(digests[2:], features[2:])
    np.testing.assert_array_equal(again.features[again.find(digests)], features)


def test_what_trains_on_features_encodes_pixels(trunk, splits):
    model = frozen(trunk)
    seen = feature_splits(splits, model.average_encoder)
    assert seen.image_shape == (model.encoder.num_features,) and seen.taught.shape == (len(splits.unlabeled), 10)
    before = [weight.copy() for weight in model.encoder.trunk_features().get_weights()]
    model.compile()
    history = model.fit(dsh.data.triplets(seen, 128, seed=0), epochs=3, steps_per_epoch=100, verbose=0).history
    assert history["similarity_loss"][-1] < history["similarity_loss"][0]
    for old, new in zip(before, model.encoder.trunk_features().get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.encode(splits.query.images), model.encode(seen.query.images))
    result = dsh.retrieval.evaluate(
        model.encode(splits.query.images),
        splits.query.labels,
        model.encode(splits.database.images),
        splits.database.labels,
        24,
    )
    assert result["map"] > 0.75  # labels alone: 0.4
    mean, variance = model.average_encoder.head.get_layer("standardise").get_weights()
    np.testing.assert_allclose(
        mean, np.concatenate([seen.labeled.images, seen.unlabeled.images]).mean(axis=0), rtol=1e-4
    )
    assert (variance > 0).any()


def test_what_features_cost_is_said(trunk, splits):
    line = describe_features(frozen(trunk), splits)
    # 64 channels of 3 x 3 after pooling: 576 features of 4 bytes.
    assert line.startswith("features: 1,797 images, about ") and "4 MB on disk" in line


def test_several_labels_on_a_frozen_trunk(trunk):
    digits = dsh.data.load("digits", labels_per_class=20, seed=50).database
    rows = np.stack([digits.labels % 2 == 0, digits.labels > 4, digits.labels < 3], axis=1).astype(np.uint8)
    some = rows.any(axis=1)  # 3 has none of the labels
    splits = dsh.data.from_arrays(digits.images[some], rows[some], labels_per_class=20, queries_per_class=20)
    config = RunConfig(num_bits=24, network=dsh.Network(backbone=str(trunk), trained_layers=0))
    model = build(config, splits)
    assert model.generator is None and model.objective.graded_margin and model.objective.real_triplet_weight == 0.1
    assert advice(config, splits)[0].startswith("images have several labels: nothing is generated")
    assert build(dataclasses.replace(config, method="dsh-gan"), splits).generator.makes_features
    seen = feature_splits(splits, model.average_encoder)
    found = {}
    for name, parts in (("labels alone", dataclasses.replace(seen, taught=None)), ("teacher", seen)):
        method = "supervised" if name == "labels alone" else None
        keras.utils.set_random_seed(1)
        model = build(dataclasses.replace(config, method=method), splits)
        model.fit(dsh.data.triplets(parts, 64, seed=0), epochs=1, steps_per_epoch=200, verbose=0)
        codes = [model.encode(part.images) for part in (parts.query, parts.database)]
        found[name] = dsh.retrieval.evaluate(codes[0], parts.query.labels, codes[1], parts.database.labels, 24)
    assert found["teacher"]["map"] > found["labels alone"]["map"] + 0.01 > 0.7


def test_a_generator_of_features_learns_the_classes(trunk, splits, tmp_path):
    model = frozen(trunk, method="dsh-gan")
    seen = feature_splits(splits, model.average_encoder)
    assert model.trains_on_features and model.generator.makes_features
    # What it makes has the real features' mean and deviation before any step, whatever its weights are.
    model.standardise(*seen.feature_moments)
    mean, variance = seen.feature_moments
    moved = model.generator.get_layer("features")(np.stack([np.zeros(576), np.ones(576)]).astype(np.float32))
    np.testing.assert_allclose(moved, [mean, mean + np.sqrt(np.maximum(variance, 1e-6))], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.generator.scaled(moved)[1] - model.generator.scaled(moved)[0], 1, rtol=1e-3)

    model.compile()
    nearest = NearestImages(seen.database.images, splits.database.images)
    grid = dsh.callbacks.SampleGrid(str(tmp_path / "samples"), every=2, nearest=nearest)
    model.fit(dsh.data.triplets(seen, 128, seed=0), epochs=2, steps_per_epoch=150, verbose=0, callbacks=[grid])
    made = model.generate(np.arange(10).repeat(20))
    assert made.shape == (200, 576) and made.dtype == np.float32
    label_of = {
        image.tobytes(): label for image, label in zip(splits.database.images, splits.database.labels, strict=True)
    }
    shown = np.array([label_of[image.tobytes()] for image in nearest(made)])
    assert (shown == np.arange(10).repeat(20)).mean() > 0.7  # a tenth by chance
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["samples-0002.png"]
    again = dsh.load_model(saved(model, tmp_path))
    np.testing.assert_array_equal(again.generate([3, 4]), model.generate([3, 4]))
    with pytest.raises(ValueError, match=r"give SampleGrid the images to show them by"):
        model.fit(dsh.data.triplets(seen, 128), verbose=0, callbacks=[dsh.callbacks.SampleGrid(str(tmp_path))])


def saved(model, folder):
    model.save(folder / "model.keras")
    return folder / "model.keras"


def test_what_a_generator_makes(trunk):
    of_pixels = frozen(trunk, method="dsh-gan", generator="pixels")
    assert not of_pixels.trains_on_features and not of_pixels.generator.makes_features
    assert (of_pixels.objective.similarity_weight, of_pixels.objective.ramp) == (20.0, 0.3)  # there is no teacher
    taught = frozen(trunk, method="semi-supervised", generator="pixels").objective
    assert (taught.similarity_weight, taught.ramp) == (5.0, 0.0)
    with pytest.raises(ValueError, match="a generator of features needs a frozen trunk"):
        dsh.Network(generator="features")
    model = frozen(trunk, method="dsh-gan")
    model.compile()
    pixels = dsh.data.load("digits", labels_per_class=1, seed=50)
    with pytest.raises(ValueError, match=r"give fit arrays, or batches of dsh\.data\.triplets\(dsh\.data\.feature_sp"):
        model.fit(dsh.data.triplets(pixels, 64))
    with pytest.raises(ValueError, match="fit takes batches of dshgan_tf.data.triplets"):
        model.fit(tf.data.Dataset.from_tensors({"label": np.zeros((4, 10))}))


def test_arrays_train_on_their_features(trunk, splits):
    """The same numbers as by the splits of features that `dshgan train` makes."""
    images = np.concatenate([splits.labeled.images, splits.unlabeled.images])
    labels = np.concatenate([splits.labeled.labels, np.full(len(splits.unlabeled), -1)])
    losses = []
    for given in ("arrays", "splits"):
        model = frozen(trunk)
        model.compile()
        arrays = {"x": images, "y": labels, "batch_size": 64}
        batches = {"x": dsh.data.triplets(feature_splits(splits, model.average_encoder), 64)}
        history = model.fit(**arrays if given == "arrays" else batches, epochs=1, steps_per_epoch=5, verbose=0)
        losses.append(history.history["similarity_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_teacher_hands_over_at_half_of_the_steps(trunk):
    """In the first half the teacher's probabilities count alone, then the encoder's as much."""
    model = frozen(trunk)
    model.compile()
    model.total_steps.assign(10)
    features = np.random.default_rng(0).normal(size=(4, 576)).astype(np.float32)
    taught = np.eye(10, dtype=np.float32)[[1, 2, 3, 4]]
    own = keras.ops.softmax(model.average_encoder.streams(features)["class_logits"])
    for step, expected in ((4, taught**2), (5, ((taught + own) / 2) ** 2)):
        model.steps.assign(step)
        given = model.pseudo_labels({"unlabeled_image": features, "taught_label": taught})
        np.testing.assert_allclose(given["labels"], expected / np.sum(expected, axis=1, keepdims=True), atol=1e-5)
        np.testing.assert_array_equal(given["known"], np.ones((4, 10)))


def test_features_of_another_size_are_refused(trunk, splits):
    model = frozen(trunk)
    with pytest.raises(ValueError, match=r"features must have shape \(N, 576\), got \(3, 5\)"):
        model.encode(np.zeros((3, 5), np.float32))
    model.compile()
    small = feature_splits(splits, model.average_encoder, teach=False)
    parts = ("query", "labeled", "unlabeled", "database", "validation")
    cut = {name: dataclasses.replace(part := getattr(small, name), images=part.images[:, :5]) for name in parts}
    with pytest.raises(ValueError, match="batches have image of shape"):
        model.fit(dsh.data.triplets(dataclasses.replace(small, **cut), 16), epochs=1)


def test_a_run_trains_on_features_and_goes_on_to_the_bit(trunk, tmp_path):
    network = dsh.Network(backbone=str(trunk), trained_layers=0)
    sizes = {"steps": 40, "steps_per_epoch": 20, "batch_size": 32, "num_bits": 16, "deterministic": True}
    config = RunConfig(dataset="digits", method="semi-supervised", network=network, **sizes)
    whole = train_and_evaluate(config, tmp_path / "whole", verbose=0)
    assert whole["metrics"]["map"] > 0.4
    run = Run(tmp_path / "whole")
    rows = evaluate_baselines(run.load_model(), run.splits(), run)
    hashers = {"LSH, trunk", "ITQ, trunk", "spectral hashing, trunk", "class as code (10 bits)"}
    spread = "label spreading, trunk, knows the queries, not coded"
    assert set(rows) == hashers | {"cosine, trunk, not coded", spread, "class by label spreading, trunk (10 bits)"}
    assert rows[spread]["metrics"]["map"] > 0.5 and rows[spread]["uses_model"]
    assert 0.3 < rows["cosine, trunk, not coded"]["metrics"]["map"] < 1
    assert rows["class by label spreading, trunk (10 bits)"]["metrics"]["map"] > 0.5
    assert rows["class as code (10 bits)"]["metrics"]["map"] > 0.3
    # As if it had been killed in its second epoch: the last checkpoint, the model and the results are gone.
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    newest = sorted((tmp_path / "killed" / "checkpoints").iterdir())[-1]
    for path in (newest, tmp_path / "killed" / "model.keras", tmp_path / "killed" / "results.json"):
        path.unlink()
    again = train_and_evaluate(config, tmp_path / "killed", verbose=0)
    assert again["metrics"] == whole["metrics"]
    models = [Run(tmp_path / name).load_model() for name in ("whole", "killed")]
    for one, other in zip(*(model.average_encoder.weights for model in models), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_a_fine_tuned_run_goes_on_from_the_frozen_one(trunk, tmp_path):
    network = dsh.Network(backbone=str(trunk), trained_layers=0)
    sizes = {"steps": 40, "steps_per_epoch": 40, "batch_size": 32, "num_bits": 16, "deterministic": True}
    config = RunConfig(dataset="digits", network=network, fine_tune=20, fine_tuned_layers=1, **sizes)
    results = train_and_evaluate(config, tmp_path / "run", verbose=0)
    run, first = Run(tmp_path / "run"), Run(tmp_path / "run" / "frozen")
    assert results["fine_tune"] == 20 and first.read("results")["fine_tune"] == 0
    model, before = run.load_model(), first.load_model()
    assert before.generator is not None and model.generator is None
    kernels = [[w for w in m.average_encoder.weights if "conv2d" in w.path][0].numpy() for m in (model, before)]
    assert 0 < np.abs(kernels[0] - kernels[1]).max() < 0.1
    assert results["metrics"]["map"] > first.read("results")["metrics"]["map"] - 0.05
    entry, old = read_entries(run)[0], read_entries(first)[0]
    assert entry.method == "with GAN, 20 steps fine-tuned, fine_tuned_layers 1" and entry.setting == old.setting
    # As if it had been killed when the second stage had begun: it goes on from the frozen run, and ends as it did.
    for path in (run.path("checkpoints"), run.path("metrics"), run.path("model"), run.path("results")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert train_and_evaluate(config, tmp_path / "run", verbose=0)["metrics"] == results["metrics"]


def test_fine_tuning_that_does_not_fit_is_refused_before_training(trunk, tmp_path):
    with pytest.raises(ValueError, match="goes on from a frozen trunk"):
        RunConfig(fine_tune=20)
    with pytest.raises(ValueError, match=r"fine_tune \(1001\) must be a multiple of 50 steps; take 1050"):
        second_stage(RunConfig(network=dsh.Network(backbone=str(trunk), trained_layers=0), fine_tune=1001))
    network = dsh.Network(backbone=str(trunk), trained_layers=0)
    config = RunConfig(dataset="digits", network=network, fine_tune=20, fine_tuned_layers=2, steps=40)
    with pytest.raises(ValueError, match="has 1 layers with weights"):
        train_and_evaluate(config, tmp_path / "run", verbose=0)
    assert not list((tmp_path / "run").rglob("metrics.csv"))


def test_an_unfrozen_model_encodes_as_the_frozen_one_and_keeps_the_teacher(trunk, splits):
    model = frozen(trunk, method="dsh-gan")
    model.compile()
    network = dsh.Network(backbone=str(trunk), trained_layers=0)
    stage = second_stage(RunConfig(dataset="digits", num_bits=24, network=network, fine_tune=20, fine_tuned_layers=1))
    assert (stage.method, stage.steps, stage.network.trained_layers) == ("semi-supervised", 20, 1)
    unfrozen = unfreeze(model, stage)
    images = splits.query.images
    np.testing.assert_array_equal(unfrozen.encode(images), model.encode(images))
    assert unfrozen.objective.similarity_weight == 5
    seen = taught_pixels(model, splits)
    assert seen.database is splits.database and seen.taught.shape == (len(splits.unlabeled), 10)


def test_a_trial_of_a_search_trains_on_features(trunk):
    network = dsh.Network(backbone=str(trunk), trained_layers=0)
    config = RunConfig(
        dataset="digits", method="semi-supervised", labels_per_class=5, network=network, steps=60, steps_per_epoch=30
    )
    recipe, values = Recipe(config, load_data(config)), kt.HyperParameters()
    model = recipe.build(values)
    assert values.values["similarity_weight"] == 5 and "pseudo_label_threshold" not in values.values
    assert recipe.fit(values, model, verbose=0)["val_map"] > 0.5
    assert recipe.seen_by(model) is recipe.seen_by(recipe.build(values))


def test_the_command_line_knows_a_frozen_trunk(trunk, tmp_path):
    arguments = ["digits", "--backbone", str(trunk), "--trained-layers", "0", "--workdir", str(tmp_path)]
    config, _ = read_config(arguments)
    assert (config.method, config.steps, config.batch_size) == (None, 600, 128)
    assert (config.method_for(multi_label=False), config.method_for(multi_label=True)) == ("dsh-gan", "semi-supervised")
    config, _ = read_config([*arguments, "--steps", "700", "--method", "supervised"])
    assert (config.method, config.steps) == ("supervised", 700)
    assert read_config([*arguments, "--no-synthetic"])[0].method == "semi-supervised"
    for flags in (["--trained_layers", "0"], ["--trained-layers=0"], ["--trained_layers=0"]):
        assert read_config([*arguments[:3], *flags, "--workdir", "x"])[0].steps == 600
    assert read_config(["smoke", *arguments[1:]])[0].steps == 4
    assert read_config([*arguments[:3], "--trained-layers", "1", "--workdir", "x"])[0].steps == 4200
    assert side_for(config.network) == 8
    assert side_for(dsh.Network()) is None and side_for(dsh.Network(backbone="MobileNetV2")) == 224
