import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.losses.players import encoder_terms, generator_terms
from dshgan_tf.losses.terms import Images
from dshgan_tf.models.normalization import FusedBatchNormalization, frozen_statistics
from dshgan_tf.models.optimizers import recipe_encoder_optimizer


def values(variables):
    return [(variable.value if isinstance(variable, keras.Variable) else variable).numpy() for variable in variables]


def equal(first, second):
    return [np.array_equal(a, b) for a, b in zip(first, second, strict=True)]


def test_an_encoder_update_leaves_the_generator_bit_identical(model, batch):
    generator, encoder = values(model.generator.variables), values(model.encoder.variables)
    fixed = values(model.encoder.get_layer("instance").variables)
    model.update_encoder(batch)
    assert all(equal(generator, values(model.generator.variables)))
    changed = [not same for same in equal(encoder, values(model.encoder.variables))]  # moving statistics included
    assert sum(changed) == len(changed) - len(fixed)
    assert all(equal(fixed, values(model.encoder.get_layer("instance").variables)))


def test_a_generator_update_leaves_the_encoder_bit_identical(model, batch):
    anchors = model.update_encoder(batch)
    generator, encoder = values(model.generator.variables), values(model.encoder.variables)
    average = values(model.average_encoder.variables)
    model.update_generator(batch, anchors)
    assert all(equal(encoder, values(model.encoder.variables)))
    assert all(equal(average, values(model.average_encoder.variables)))
    assert not any(equal(generator, values(model.generator.variables)))


@pytest.mark.parametrize(
    ("objective", "adversary"), [(dsh.Objective(ramp=0.0), "classes"), (dsh.Objective.paper(), "own")]
)
def test_trunk_and_each_head_receive_a_gradient(digits, batch, objective, adversary):
    model = dsh.DSHGAN(
        method="dsh-gan",
        num_bits=12,
        num_classes=10,
        image_shape=digits.image_shape,
        network=dsh.Network(width=4, adversary=adversary),
    )
    model.compile(objective=objective)
    model.total_steps.assign(1)
    with tf.GradientTape() as tape:
        terms = encoder_terms(model.hash_batch(batch, model.encoder, training=True), model.task())
        loss = model.training_metrics.weighted_sum("encoder_loss", terms)
    gradients = tape.gradient(loss, model.encoder.trainable_variables)
    for variable, gradient in zip(model.encoder.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path


def test_the_adversary_is_the_evidence_for_the_classes_or_a_stream_of_its_own(digits):
    images = digits.query.images[:5]
    model = dsh.DSHGAN(num_bits=8, num_classes=10, image_shape=(8, 8, 1), network=dsh.Network(width=4))
    streams = model.predict_streams(images)
    evidence = np.log(np.exp(streams["class_logits"].astype(np.float64)).sum(axis=1))
    np.testing.assert_allclose(streams["adversary_logits"], evidence, rtol=1e-5)
    own = dsh.DSHGAN(num_bits=8, num_classes=10, image_shape=(8, 8, 1), network=dsh.Network(width=4, adversary="own"))
    assert len(own.encoder.get_layer("adversary").trainable_weights) == 2
    assert len(own.encoder.weights) == len(model.encoder.weights) + 2
    assert dsh.DSHGAN.from_config(own.get_config()).get_config()["network"]["adversary"] == "own"


def test_a_deployed_average_follows_the_trained_weights(model, batch):
    before = values(model.average_encoder.variables)
    model.update_encoder(batch)
    # After the first update the decay is min(0.99, 1 / 11).
    for old, average, trained in zip(
        before, values(model.average_encoder.variables), values(model.encoder.variables), strict=True
    ):
        np.testing.assert_allclose(average, old / 11 + trained * 10 / 11, rtol=1e-4, atol=1e-6)


def test_every_named_term_is_logged(model, digits):
    history = model.fit(dsh.data.triplets(digits, 16), epochs=2, steps_per_epoch=2, verbose=0)
    assert {metric.name for metric in model.metrics} == set(history.history)
    assert all(np.isfinite(history.history[name]).all() for name in history.history)


def test_the_baseline_makes_the_same_number_of_encoder_updates_on_the_same_batches(digits):
    for gan in (True, False):
        method = "dsh-gan" if gan else "supervised"
        model = dsh.DSHGAN(8, 10, (8, 8, 1), method=method, network=dsh.Network(width=4))
        model.compile(objective=dsh.Objective(encoder_steps=2))
        model.fit(dsh.data.triplets(digits, 16), epochs=1, steps_per_epoch=3, verbose=0)
        assert int(model.encoder_optimizer.iterations) == 6
        assert (model.generator is not None) == gan
        if gan:
            assert int(model.generator_optimizer.iterations) == 3


def test_without_synthetic_images_the_unlabelled_ones_still_count(digits):
    model = dsh.DSHGAN(
        num_bits=8, num_classes=10, image_shape=(8, 8, 1), method="semi-supervised", network=dsh.Network(width=4)
    )
    model.compile()
    history = model.fit(dsh.data.triplets(digits, 16), steps_per_epoch=2, verbose=0).history
    assert "pseudo_label_rate" in history and "adversary_loss" not in history


@pytest.mark.parametrize(
    ("network", "multi_label", "method"),
    [
        ({}, False, "semi-supervised"),
        ({}, True, "semi-supervised"),
        ({"adversary": "own"}, False, "dsh-gan"),
        ({"trained_layers": 0}, False, "dsh-gan"),
        ({"trained_layers": 0}, True, "semi-supervised"),
        ({"trained_layers": 0, "adversary": "own"}, True, "dsh-gan"),
        ({"trained_layers": 0, "generator": "pixels"}, False, "semi-supervised"),
        ({"trained_layers": 1}, False, "semi-supervised"),
    ],
)
def test_what_is_generated_must_be_worth_its_time(trunk, network, multi_label, method):
    backbone = {"backbone": str(trunk)} if "trained_layers" in network else {"width": 4}
    network = dsh.Network(**network, **backbone)
    model = dsh.DSHGAN(8, 10, (8, 8, 1), multi_label=multi_label, network=network)
    assert model.method == dsh.RunConfig(network=network).method_for(multi_label) == method
    assert (model.generator is not None) == (method == "dsh-gan")
    assert dsh.DSHGAN(8, 10, (8, 8, 1), multi_label=multi_label, network=network, gan=False).method == "supervised"


def test_many_labels_an_image_train(digits):
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 4)) < 0.5).astype(np.uint8)
    splits = dsh.data.from_arrays(digits.database.images[:80], labels, queries_per_class=2, labels_per_class=4)
    model = dsh.DSHGAN(
        num_bits=8,
        num_classes=4,
        image_shape=(8, 8, 1),
        multi_label=True,
        method="dsh-gan",
        network=dsh.Network(width=4),
    )
    model.compile()
    history = model.fit(dsh.data.triplets(splits, 8), epochs=1, verbose=0).history
    assert np.isfinite(history["encoder_loss"]).all()
    assert model.generate(labels[:3]).shape == (3, 8, 8, 1)


def test_saved_model_gives_the_same_codes_and_goes_on_with_both_optimizers(tmp_path, digits):
    def build():
        keras.utils.set_random_seed(1)
        model = dsh.DSHGAN(
            num_bits=12, num_classes=10, image_shape=(8, 8, 1), seed=5, method="dsh-gan", network=dsh.Network(width=4)
        )
        model.compile(objective=dsh.Objective(ramp=0.5))
        return model

    def train(model, first_step):
        data = dsh.data.triplets(digits, 16, seed=2, first_step=first_step)
        model.fit(data, initial_epoch=first_step // 3, epochs=2, steps_per_epoch=3, verbose=0)

    whole = build()
    train(whole, 0)
    half = build()
    data = dsh.data.triplets(digits, 16, seed=2)
    half.fit(data, epochs=2, steps_per_epoch=3, verbose=0, callbacks=[StopAfterFirst()])
    half.save(tmp_path / "half.keras")
    loaded = dsh.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(loaded.encode(digits.query.images), half.encode(digits.query.images))
    assert loaded.objective == half.objective
    for name in ("encoder_optimizer", "generator_optimizer"):
        assert all(equal(values(getattr(loaded, name).variables), values(getattr(half, name).variables)))
        assert int(getattr(loaded, name).iterations) == 3
    train(loaded, 3)
    assert all(equal(values(whole.variables), values(loaded.variables)))


class StopAfterFirst(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_a_process_that_only_imported_the_package_loads_the_file(tmp_path, model):
    model.save(tmp_path / "model.keras")
    code = "import sys, dshgan_tf as dsh; print(dsh.load_model(sys.argv[1]).num_bits)"
    command = [sys.executable, "-c", code, str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "12"


def test_encode_takes_any_number_and_either_type(model, digits):
    images = digits.query.images
    codes = model.encode(images, batch_size=33)
    assert codes.shape == (200, 2) and codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, model.encode(images.astype(np.float32)))
    bits = model.predict_streams(images)["relaxed_codes"] > 0.5
    np.testing.assert_array_equal(np.packbits(bits, axis=1), codes)
    assert model.encode(images[:0]).shape == (0, 2)


def test_encode_refuses_or_warns(model, digits):
    images = digits.query.images[:4]
    with pytest.warns(UserWarning, match="multiply them by 255"):
        model.encode(images / np.float32(255))
    for bad, message in (
        (images[:, :7], r"\(7, 8, 1\) but the model takes \(8, 8, 1\)"),
        (images.astype(np.int64), "got dtype int64"),
        (np.full(images.shape, np.inf), "first in image 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.encode(bad)


def test_generate_is_repeatable_and_leaves_training_noise_alone(model):
    state = values([model.seed_generator.state])[0]
    first, again = model.generate([3, 4], seed=1), model.generate([3, 4], seed=1)
    assert first.shape == (2, 8, 8, 1) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(state, values([model.seed_generator.state])[0])
    with pytest.raises(ValueError, match="label 10 is out of range"):
        model.generate([10])
    assert model.generator.scaled(np.float32([255.0])) == 2.0  # in units of half the range of pixels


def test_constructor_and_fit_refuse_what_does_not_fit(digits, model):
    for arguments, message in (
        ({"num_bits": 0}, "num_bits must be a whole number in 1..4096, got 0"),
        ({"num_bits": 2.5}, "got 2.5"),
        ({"num_classes": 1}, "num_classes must be a whole number in 2..100000"),
        ({"image_shape": (8, 8)}, "image_shape must be"),
        ({"image_shape": (8, 8, 2)}, "1 .grey. or 3 .RGB. channels, got 2"),
        ({"method": "unsupervised"}, "method must be one of .*, got 'unsupervised'"),
        ({"method": "semi-supervised", "gan": False}, "gan=False is short for method='supervised'"),
        ({"network": {"norm": "layer"}}, "norm must be .* got 'layer'"),
        ({"network": {"adversary": "none"}}, "adversary must be 'classes' or 'own', got 'none'"),
        ({"network": {"backbone": "ResNet9"}}, "unknown backbone 'ResNet9'"),
    ):
        with pytest.raises(ValueError, match=message):
            dsh.DSHGAN(**({"num_bits": 8, "num_classes": 10, "image_shape": (8, 8, 1)} | arguments))
    other = dsh.DSHGAN(num_bits=8, num_classes=10, image_shape=(16, 16, 1), network=dsh.Network(width=4))
    other.compile()
    with pytest.raises(ValueError, match=r"image of shape \(8, 8, 1\), the model takes \(16, 16, 1\)"):
        other.fit(dsh.data.triplets(digits, 16), epochs=1)
    endless = dsh.data.triplets(digits, 16).repeat()
    with pytest.raises(ValueError, match="set dataset.label_frequency = splits.label_frequency"):
        model.fit(endless, epochs=1)
    endless.label_frequency = digits.label_frequency
    with pytest.raises(ValueError, match="give steps_per_epoch"):
        model.fit(endless, epochs=1)
    halves = endless.map(lambda batch: {name: batch[name] for name in ("image", "label", "negative_label")})
    with pytest.raises(ValueError, match="fit takes batches of dshgan_tf.data.triplets"):
        model.fit(halves, epochs=1, steps_per_epoch=1)


def test_an_endless_dataset_teaches_the_instance_bits(digits):
    model = dsh.DSHGAN(num_bits=24, num_classes=10, image_shape=(8, 8, 1), network=dsh.Network(width=2))
    model.compile()
    endless = dsh.data.triplets(digits, 16).repeat()
    endless.label_frequency = digits.label_frequency
    model.fit(endless, epochs=1, steps_per_epoch=1, verbose=0)
    bits = np.unpackbits(model.encode(digits.query.images), axis=1)[:, 9:24]
    assert (bits.min(axis=0) < bits.max(axis=0)).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (50, 41, 3), (64, 64, 3), (3, 5, 1)])
def test_networks_fit_small_images_of_any_size(shape):
    model = dsh.DSHGAN(num_bits=5, num_classes=3, image_shape=shape, method="dsh-gan", network=dsh.Network(width=2))
    assert model.generate([0, 1]).shape == (2, *shape)
    assert model.encode(np.zeros((2, *shape), np.uint8)).shape == (2, 1)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_losses_and_metrics_in_float32(digits, batch, policy):
    model = dsh.DSHGAN(
        method="dsh-gan",
        num_bits=8,
        num_classes=10,
        image_shape=(8, 8, 1),
        precision=policy,
        network=dsh.Network(width=4),
    )
    model.compile()
    for optimizer in (model.encoder_optimizer, model.generator_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    # Convolutions compute in 16 bits; weights, streams, terms and metrics are float32.
    stem = model.encoder.get_layer("stem_conv")
    assert stem.compute_dtype == policy.removeprefix("mixed_") and stem.kernel.dtype == "float32"
    seen = model.hash_batch(batch, model.encoder, training=True)
    made = model.synthesise(batch, training=True)
    terms = encoder_terms(seen, model.task())
    synthetic = Images(**model.encoder(made[0], training=True), labels=made[2])
    scaled = model.generator.scaled(made[0]), *made[1:]
    terms |= generator_terms(model.anchors(seen.real.relaxed_codes), synthetic, scaled, model.task())
    assert {"classification_loss", "pseudo_label_loss", "generator_diversity_loss"} <= set(terms)
    for name, term in terms.items():
        assert term.values.dtype == tf.float32, name
    for images in seen:
        assert {value.dtype for value in images[:3]} == {tf.float32}
    for metric in model.metrics:
        assert {variable.dtype for variable in metric.variables} <= {"float32"}, metric.name
    weights = [*model.encoder.weights, *model.generator.weights, *model.average_encoder.weights]
    assert {weight.dtype for weight in weights} == {"float32"}
    assert model.average_encoder.get_layer("stem_conv").compute_dtype == "float32"
    history = model.fit(dsh.data.triplets(digits, 16), steps_per_epoch=2, verbose=0).history
    assert all(np.isfinite(value).all() for value in history.values())


def test_fused_batch_normalisation_is_batch_normalisation():
    rng = np.random.default_rng(0)
    images = rng.normal(3, 2, (8, 5, 5, 4)).astype(np.float32)
    ours, theirs = FusedBatchNormalization(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    np.testing.assert_allclose(ours(images, training=True), theirs(images, training=True), atol=1e-4)
    np.testing.assert_allclose(values(ours.weights)[2], values(theirs.weights)[2], rtol=1e-5)
    np.testing.assert_allclose(values(ours.weights)[3], values(theirs.weights)[3], rtol=1e-5)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(images, training=False), theirs(images, training=False), atol=1e-5)


def test_fused_batch_normalisation_without_scale_and_offset():
    images = np.random.default_rng(0).normal(3, 2, (8, 5, 5, 4)).astype(np.float32)
    outputs = FusedBatchNormalization(scale=False, center=False)(images, training=True)
    np.testing.assert_allclose(outputs, (images - images.mean((0, 1, 2))) / images.std((0, 1, 2)), atol=1e-3)


def test_frozen_statistics_record_nothing(digits):
    model = dsh.DSHGAN(
        num_bits=8, num_classes=10, image_shape=(8, 8, 1), method="dsh-gan", network=dsh.Network(width=4)
    )
    images = tf.random.normal((16, 8, 8, 1))
    before = values(model.encoder.variables)
    with frozen_statistics(model.encoder):
        frozen = model.encoder(images, training=True)["relaxed_codes"]
    assert all(equal(before, values(model.encoder.variables)))
    recording = model.encoder(images, training=True)["relaxed_codes"]
    np.testing.assert_array_equal(frozen, recording)
    assert not all(equal(before, values(model.encoder.variables)))


def test_augmentation_is_differentiable_and_keeps_constant_pictures():
    from dshgan_tf.images.augmentation import NUM_DRAWS, augment

    draws = tf.random.uniform((6, NUM_DRAWS))
    flat = tf.fill((6, 8, 8, 3), 0.25)
    np.testing.assert_allclose(augment(flat, draws), flat, atol=1e-6)
    images = tf.random.normal((6, 8, 8, 3))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(augment(images, draws) ** 2)
    assert np.isfinite(tape.gradient(total, images)).all()
    # Draws in the middle, mirror off: no shift, no zoom, the same picture. Mirror on: the mirrored one.
    still = np.full((6, NUM_DRAWS), 0.5, np.float32)
    still[:, 4] = 0.1
    np.testing.assert_allclose(augment(images, still), images, atol=1e-5)
    still[:, 4] = 0.9
    np.testing.assert_allclose(augment(images, still), images[:, :, ::-1], atol=1e-5)
    grey = images[..., :1]
    np.testing.assert_allclose(augment(grey, still), grey, atol=1e-5)


def test_photographs_stay_sharp():
    from dshgan_tf.images.augmentation import NUM_DRAWS, augment

    images = np.random.default_rng(0).uniform(-1, 1, (64, 16, 16, 3)).astype(np.float32)
    draws = np.random.default_rng(1).random((64, NUM_DRAWS)).astype(np.float32)
    for image, shifted in zip(images, np.array(augment(images, draws)), strict=True):
        assert np.isin(shifted.round(4), image.round(4)).all()  # no value between those of two pixels


def test_objective_refuses_values_out_of_range():
    for name, value in (("margin", 0), ("triplet_weight", -1), ("ramp", 1.5), ("ema_decay", 1), ("encoder_steps", 0)):
        with pytest.raises(ValueError, match=f"{name}.*got {value}"):
            dsh.Objective(**{name: value})
    with pytest.raises(ValueError, match="'hinge'"):
        dataclasses.replace(dsh.Objective(), generator_loss="hinge")


def test_a_second_fit_goes_on_in_the_schedule(digits):
    model = dsh.DSHGAN(num_bits=8, num_classes=10, image_shape=(8, 8, 1), gan=False, network=dsh.Network(width=4))
    model.compile()
    data = dsh.data.triplets(digits, 16)
    model.fit(data, epochs=1, steps_per_epoch=4, verbose=0)
    model.fit(data, epochs=1, steps_per_epoch=4, verbose=0)
    # Four of eight steps were done: the second half of a decay over eight, not the end of one over four.
    assert int(model.total_steps) == 8 and int(model.encoder_optimizer.iterations) == 8


def test_precision_is_kept_in_the_file(tmp_path):
    model = dsh.DSHGAN(
        num_bits=8,
        num_classes=10,
        image_shape=(8, 8, 1),
        method="dsh-gan",
        precision="mixed_bfloat16",
        network=dsh.Network(width=4),
    )
    model.compile()
    model.save(tmp_path / "model.keras")
    loaded = dsh.load_model(tmp_path / "model.keras")
    assert loaded.encoder.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert loaded.generator.compute_dtype == model.generator.compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_testing_does_not_move_the_training_noise(digits, model):
    data = dsh.data.triplets(digits, 16).take(2)
    state = model.seed_generator.state.numpy()
    logs = model.evaluate(data, return_dict=True, verbose=0)
    assert np.isfinite(logs["encoder_loss"]) and logs["encoder_loss"] > 0
    np.testing.assert_array_equal(state, model.seed_generator.state.numpy())


def test_strong_augmentation_by_hand():
    from dshgan_tf.images.augmentation import NUM_DRAWS, cut, recolour

    images = np.random.default_rng(0).uniform(64, 191, (1, 8, 8, 3)).astype(np.float32)
    draws = np.full((1, NUM_DRAWS), 0.5, np.float32)
    np.testing.assert_allclose(recolour(images, draws), images, atol=1e-4)  # draws in the middle change nothing
    draws[0, 9] = 0
    np.testing.assert_array_equal(cut(images, draws), images)
    draws[0, 9] = 1  # a hole of half the side around the middle: rows and columns 2 to 5
    holed = np.array(cut(images, draws))
    assert (holed[:, 2:6, 2:6] == 127.5).all()
    holed[:, 2:6, 2:6] = images[:, 2:6, 2:6]
    np.testing.assert_array_equal(holed, images)
    for place, change in ((6, lambda x: x + 51), (7, lambda x: x.mean() + 1.5 * (x - x.mean()))):
        changed = draws.copy()
        changed[0, place] = 1
        np.testing.assert_allclose(recolour(images, changed), np.clip(change(images), 0, 255), atol=1e-4)
    draws[0, 8] = 0  # no saturation left
    np.testing.assert_allclose(recolour(images, draws), images.mean(axis=3, keepdims=True).repeat(3, 3), atol=1e-4)


def test_the_teacher_is_the_averaged_encoder_in_any_precision(digits):
    for precision, tolerance in (("float32", 1e-6), ("mixed_bfloat16", 0.1)):
        model = dsh.DSHGAN(
            num_bits=8, num_classes=10, image_shape=(8, 8, 1), precision=precision, network=dsh.Network(width=8)
        )
        for weight in model.average_encoder.weights:  # another than the one that trains
            weight.assign(weight * 1.1)
        images = digits.query.images[:20].astype(np.float32)
        expected = model.average_encoder(images, training=False)["class_logits"].numpy()
        np.testing.assert_allclose(model.teach(images)["class_logits"], expected, atol=tolerance)
        assert np.abs(model.encoder(images, training=False)["class_logits"].numpy() - expected).max() > tolerance


@pytest.mark.parametrize("multi_label", [False, True])
def test_codes_follow_the_teachers_probabilities_and_not_its_decisions(digits, batch, multi_label):
    """The similarity loss takes what is likely of an unlabelled image; cross-entropy and triplets what is confident."""
    model = dsh.DSHGAN(12, 10, digits.image_shape, multi_label=multi_label, network=dsh.Network(width=4))
    model.compile(objective=dsh.Objective(similarity_weight=1.0))
    logits = keras.ops.convert_to_numpy(
        model.average_encoder.streams(batch["unlabeled_image"], training=False)["class_logits"]
    )
    odds = np.exp(logits.astype(np.float64))
    expected = odds / (1 + odds) if multi_label else odds / odds.sum(axis=1, keepdims=True)
    unlabeled = model.hash_batch(batch, model.encoder, training=True).unlabeled
    np.testing.assert_allclose(unlabeled.likely, expected, rtol=1e-4)
    assert not np.isin(unlabeled.likely, (0, 1)).any() and np.isin(unlabeled.labels, (0, 1)).all()


def test_weight_decay_by_hand():
    weight = keras.Variable(np.ones(3, np.float32))
    optimization = dsh.Optimization(encoder_learning_rate=0.1, weight_decay=0.5)
    optimizer = recipe_encoder_optimizer(optimization).optimizer  # warms up over 5% of 1,000 updates
    optimizer.build([weight])
    optimizer.apply([keras.ops.zeros(3)], [weight])
    np.testing.assert_allclose(weight.numpy(), 1 - 0.5 * 0.1 / 50, rtol=1e-6)


@pytest.mark.parametrize("asked", [False, True])
def test_labelled_images_are_cut_where_that_is_asked(batch, asked):
    model = dsh.DSHGAN(num_bits=8, num_classes=10, image_shape=(8, 8, 1), gan=False, network=dsh.Network(width=4))
    model.compile(objective=dsh.Objective(cut_labeled=asked))
    seen = []

    class Spy:
        def streams(self, images, training):
            seen.append(np.array(images))
            return model.encoder.streams(images, training=training)

    model.hash_batch(batch | {"image": np.ones_like(batch["image"])}, Spy(), training=True)
    assert (seen[0] == 1).all() != asked
    assert np.isin(np.round(seen[0], 3), (1, 127.5)).all()  # the colours stay, a hole is grey


@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras only warns, and loads what fits
def test_a_file_with_another_encoder_is_refused(tmp_path, monkeypatch):
    from dshgan_tf.models import hash_encoder

    trunk = hash_encoder.small_trunk
    monkeypatch.setattr(
        hash_encoder, "small_trunk", lambda x, width, norm: (keras.layers.Dense(6)(trunk(x, width, norm)[0]), x)
    )
    other = dsh.DSHGAN(num_bits=6, num_classes=10, image_shape=(8, 8, 1), gan=False, network=dsh.Network(width=3))
    other.compile()
    other.save(tmp_path / "other.keras")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="another version; train again"):
        dsh.load_model(tmp_path / "other.keras")


@pytest.mark.parametrize(("side", "at_a_time"), [(8, 256), (112, 256), (224, 64), (1024, 3)])
def test_large_images_run_a_few_at_a_time(side, at_a_time):
    encoder = dsh.HashEncoder(8, 2, (side, side, 1), dsh.Network(width=4))
    assert encoder.images_at_a_time == at_a_time  # 64 x 224 x 224 pixels, 256 images at most


def test_a_trunk_that_enlarges_its_images_sees_a_few_at_a_time(tmp_path):
    pixels = keras.Input((224, 224, 1))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, strides=8)(pixels))
    keras.Model(pixels, features).save(tmp_path / "trunk.keras")
    network = dsh.Network(backbone=str(tmp_path / "trunk.keras"), trained_layers=0)
    encoder = dsh.HashEncoder(8, 2, (32, 32, 1), network)
    assert encoder.images_at_a_time == 64
    codes = encoder.encode(np.random.default_rng(0).integers(0, 256, (70, 32, 32, 1), dtype=np.uint8))
    assert codes.shape == (70, 1)
