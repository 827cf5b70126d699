"""Every term of both players, worked out by hand on a batch of two triplets.

Two labelled images of classes 0 and 1, K = 2 bits. Codes: a_0 = (1, 0), a_1 = (0, 1). The synthetic images are all x+
first, then all x-: p_0 = (1, 1/2), p_1 = (0, 0), n_0 = (0, 1), n_1 = (1/2, 1).
"""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.losses.players import Task, encoder_terms, generator_terms
from dshgan_tf.losses.published import triplet_adversary_loss
from dshgan_tf.losses.terms import Batch, Images

LOG2, LOG3 = np.log(2), np.log(3)
HALF = np.array([0.5, 0.5])


def array(rows):
    return np.array(rows, np.float64)


def logit(probability):
    return np.log(probability / (1 - probability))


REAL = Images(array([[1, 0], [0, 1]]), logit(array([3 / 4, 1 / 2])), np.log(array([[3, 1], [1, 1]])), np.eye(2))
SYNTHETIC = Images(
    array([[1, 0.5], [0, 0], [0, 1], [0.5, 1]]),
    logit(array([1 / 2, 1 / 4, 1 / 2, 2 / 3])),  # not symmetric: real and synthetic must not be taken for each other
    np.log(array([[1, 1], [1, 3], [1, 1], [3, 1]])),
    np.eye(2)[[0, 1, 1, 0]],  # labels of x+, then of x-
)
UNLABELED = Images(
    array([[1, 0.5], [0, 1]]),
    logit(array([1 / 2, 1 / 2])),
    np.log(array([[7, 1], [1, 1]])),
    np.eye(2),
    array([[1, 1], [0, 0]]),  # the first pseudo-label is confident, the second is not
    array([[3 / 4, 1 / 4], [1 / 2, 1 / 2]]),
)
PLAIN = dsh.Objective(
    margin=1.0, anchor_stride=1, triplet_weight=1, synthetic_classification_weight=1, scale_by_confidence=False
)


def terms_of(batch, objective=PLAIN, ramp=1.0, multi_label=False):
    return encoder_terms(batch, Task(objective.resolve(2, multi_label), multi_label, HALF, ramp))


def check(term, weight, values):
    np.testing.assert_allclose(float(term.weight), weight, rtol=1e-6)
    np.testing.assert_allclose(term.values, values, rtol=1e-5, atol=1e-7)


def test_the_papers_terms_of_the_encoder():
    terms = terms_of(Batch(REAL, None, SYNTHETIC), dsh.Objective.paper())
    assert set(terms) == {"classification_loss", "triplet_loss", "adversary_loss", "synthetic_classification_loss"}
    # P(class) is 3/4 and 1/2 for the real images; 1/2, 3/4, 1/2, 3/4 for the synthetic ones.
    check(terms["classification_loss"], 1, [np.log(4 / 3), LOG2])
    check(terms["synthetic_classification_loss"], 1, [LOG2, np.log(4 / 3), LOG2, np.log(4 / 3)])
    # Margin 1. |a_0 - n_0|^2 = 2, |a_0 - p_0|^2 = 1/4: max(0, 1 - 2 + 1/4) = 0.
    # |a_1 - n_1|^2 = 1/4, |a_1 - p_1|^2 = 1: 1 - 1/4 + 1 = 7/4.
    check(terms["triplet_loss"], 1, [0, 7 / 4])
    # -log P(real) of the real images, 3/4 and 1/2, has the mean r; -log(1 - P(real)) of x+ is log 2, log 4/3,
    # of x- log 2, log 3. A triplet has the mean of its three members.
    real = (np.log(4 / 3) + LOG2) / 2
    check(terms["adversary_loss"], 1, [(real + LOG2 + LOG2) / 3, (real + np.log(4 / 3) + LOG3) / 3])


def test_the_papers_terms_of_the_generator():
    anchors = array([[1, 0], [0, 1]])
    task = Task(dsh.Objective.paper().resolve(2, False), False, HALF)
    terms = generator_terms(anchors, SYNTHETIC, (None, None, None), task)
    assert set(terms) == {"generator_triplet_loss", "generator_adversary_loss", "generator_classification_loss"}
    check(terms["generator_triplet_loss"], 1, [0, 7 / 4])
    # The paper's generator minimises log(1 - P(real)); ours, non-saturating, -log P(real).
    # It is averaged over the three members of a triplet, and the generator makes two of them.
    check(terms["generator_adversary_loss"], 2 / 3, -array([LOG2, np.log(4 / 3), LOG2, LOG3]))
    check(terms["generator_classification_loss"], 1, [LOG2, np.log(4 / 3), LOG2, np.log(4 / 3)])
    objective = dataclasses.replace(PLAIN, diversity_weight=0.0).resolve(2, False)
    terms = generator_terms(anchors, SYNTHETIC, (None, None, None), Task(objective, False, HALF))
    check(terms["generator_adversary_loss"], 1, [LOG2, np.log(4), LOG2, np.log(3 / 2)])


def test_the_first_stage_has_no_triplets():
    objective = dsh.Objective(real_triplet_weight=0.1, similarity_weight=2.0).resolve(2, False)
    batch, triplets = Batch(REAL, UNLABELED, SYNTHETIC), {"triplet_loss", "real_triplet_loss", "pseudo_triplet_loss"}
    triplets |= {"similarity_loss", "generator_triplet_loss"}
    weights = []
    for stage in (0.0, 1.0):
        task = Task(objective, False, HALF, 1.0, stage)
        made = np.zeros((4, 1, 1, 1)), np.zeros((4, 1)), np.eye(3)[[0, 0, 1, 2]]
        terms = encoder_terms(batch, task) | generator_terms(array([[1, 0], [0, 1]]), SYNTHETIC, made, task)
        weights.append({name: float(term.weight) for name, term in terms.items()})
    assert triplets <= set(weights[0])
    for name, weight in weights[0].items():
        assert weight == (0 if name in triplets else weights[1][name]), name
        assert weights[1][name] > 0, name


def test_codes_become_as_alike_as_labels_are_likely():
    terms = terms_of(Batch(REAL, UNLABELED), dataclasses.replace(PLAIN, similarity_weight=2.0))
    # 2 H - 1 is (1, -1) and (-1, 1) for the real images, (1, 0) and (-1, 1) for the unlabelled. Of a_0, with label 0,
    # products over K are 1, -1, 1/2, -1, where 1, 0, 3/4, 1/2 is likely: squares 0, 1, 1/16, 9/4.
    # Of u_0: 1/2, -1/2, 1/2, -1/2 where 3/4, 1/4, 9/16 + 1/16, 1/2 is likely: 1/16, 9/16, 1/64, 1.
    check(terms["similarity_loss"], 2, array([53 / 16, 29 / 16, 105 / 64, 15 / 4]) / 4)


def test_anchors_may_be_left_out_of_what_learns():
    codes = tf.Variable(array([[1, 0], [0.25, 1]]))
    for learn in (True, False):
        objective = dataclasses.replace(dsh.Objective.paper(), anchors_learn=learn).resolve(2, False)
        with tf.GradientTape() as tape:
            batch = Batch(REAL._replace(relaxed_codes=tf.convert_to_tensor(codes)), None, SYNTHETIC)
            loss = tf.reduce_sum(encoder_terms(batch, Task(objective, False, HALF))["triplet_loss"].values)
        assert (tape.gradient(loss, codes) is not None) == learn


def test_every_real_image_counts_for_the_real_member():
    # Labelled and unlabelled images each have half of the say, however many there are.
    batch = Batch(REAL, UNLABELED._replace(adversary_logits=logit(array([1 / 4, 1 / 4, 1 / 4]))), SYNTHETIC)
    real = ((np.log(4 / 3) + LOG2) / 2 + np.log(4)) / 2
    np.testing.assert_allclose(
        triplet_adversary_loss(batch), [(real + 2 * LOG2) / 3, (real + np.log(4 / 3) + LOG3) / 3], rtol=1e-6
    )


def test_what_goes_beyond_the_paper():
    terms = terms_of(Batch(REAL, UNLABELED, SYNTHETIC), dataclasses.replace(PLAIN, real_triplet_weight=0.1))
    # Mined among the real images: the anchor is its own positive at 0, the other image its negative at 2: 1 - 2 < 0.
    check(terms["real_triplet_loss"], 0.1, [0, 0])
    # u_0 = (1, 1/2) with pseudo-label 0: positives a_0 at 1/4 and itself at 0, one negative, a_1 at 5/4; u_1 is not
    # known, so it is nobody's positive or negative. 1 - 5/4 + 1/4 = 0 and 1 - 5/4 < 0. u_1 has no triplet.
    check(terms["pseudo_triplet_loss"], 0.1, [0, 0])
    check(terms["pseudo_label_loss"], 1, [np.log(8 / 7), 0])
    # The mean prediction is (7/8 + 1/2) / 2 = 11/16 and 5/16, wanted are halves.
    divergence = 11 / 16 * np.log(11 / 8) + 5 / 16 * np.log(5 / 8)
    check(terms["balance_loss"], 1, [divergence])
    wide = dataclasses.replace(PLAIN, margin=2.0)
    terms = terms_of(Batch(REAL, UNLABELED), wide)
    check(terms["real_triplet_loss"], 0.1, [0, 0])  # 2 - 2 + 0 is not above 0
    check(terms["pseudo_triplet_loss"], 0.1, [(1 + 3 / 4) / 2, 0])  # 2 - 5/4 + 1/4 and 2 - 5/4
    # Bits of the real images are on for half of them: balanced. All on: 1.
    balanced = dataclasses.replace(PLAIN, bit_balance_weight=3.0)
    check(terms_of(Batch(REAL), balanced)["bit_balance_loss"], 3, [0])
    check(terms_of(Batch(REAL._replace(relaxed_codes=np.ones((2, 2)))), balanced)["bit_balance_loss"], 3, [1])


def test_diversity_of_the_generator():
    images = np.zeros((4, 1, 1, 1))
    images[1] = 0.1  # it differs from the first image by 0.1, in noise by 1
    noise, labels = array([[0.0], [1.0], [5.0], [9.0]]), np.eye(3)[[0, 0, 1, 2]]
    objective = dataclasses.replace(PLAIN, diversity_weight=0.3).resolve(2, False)
    task = Task(objective, False, HALF)
    terms = generator_terms(array([[1, 0], [0, 1]]), SYNTHETIC, (images, noise, labels), task)
    check_weight = terms["generator_diversity_loss"]
    np.testing.assert_allclose(check_weight.values, [1 / 0.2, 1 / 0.2, 0, 0], rtol=1e-3)
    assert check_weight.weight == 0.3


@pytest.mark.parametrize("ramp", [0.0, 0.5, 1.0])
def test_weights_by_the_ramp_and_by_the_share_of_confident_pseudo_labels(ramp):
    objective = dsh.Objective(anchor_stride=1)
    terms = terms_of(Batch(REAL, UNLABELED, SYNTHETIC), objective, ramp)
    weights = {name: float(term.weight) for name, term in terms.items()}
    # Half of the pseudo-labels are confident.
    assert weights == pytest.approx(
        {
            "classification_loss": 1,
            "real_triplet_loss": 0.1,
            "similarity_loss": 20 * ramp,
            "pseudo_label_loss": ramp,
            "pseudo_triplet_loss": 0.1 * ramp,
            "balance_loss": ramp,
            "adversary_loss": 1,
            "triplet_loss": 0.1 * ramp / 2,
            "synthetic_classification_loss": 0.3 * ramp / 2,
        }
    )
    plain = dataclasses.replace(objective, scale_by_confidence=False)
    assert float(terms_of(Batch(REAL, UNLABELED, SYNTHETIC), plain, ramp)["triplet_loss"].weight) == 0.1 * ramp


@pytest.mark.parametrize(("multi_label", "given", "factor"), [(False, None, 1), (True, None, 0.1), (True, 0.5, 0.5)])
def test_what_needs_synthetic_images_weighs_less_with_several_labels(multi_label, given, factor):
    objective = dsh.Objective(synthetic_weight=given, anchor_stride=1)
    terms = terms_of(Batch(REAL, None, SYNTHETIC), objective, multi_label=multi_label)
    assert terms["triplet_loss"].weight == pytest.approx(0.1 * factor)
    assert terms["adversary_loss"].weight == pytest.approx(factor)
    assert terms["synthetic_classification_loss"].weight == pytest.approx(0.3 * factor)
    assert terms["classification_loss"].weight == 1


def test_the_similarity_loss_weighs_by_labels_and_teacher():
    resolved = {
        (several, taught): dsh.Objective().resolve(48, several, taught).similarity_weight
        for several in (False, True)
        for taught in (False, True)
    }
    assert resolved == {(False, False): 20, (True, False): 0, (False, True): 5, (True, True): 5}
    assert dsh.Objective(similarity_weight=0.0).resolve(48, False).similarity_weight == 0


def test_the_margin_is_a_quarter_of_the_bits_or_what_is_given():
    assert dsh.Objective().resolve(48, False).margin == 12
    assert dsh.Objective(margin=3.0).resolve(48, False).margin == 3
    assert dsh.Objective.paper().resolve(48, False).margin == 1
    # Every fourth labelled image is an anchor: a_0 with p_0 and n_0, a_4 with p_1 and n_1, K = 2, margin 1/2.
    real = Images(*(np.repeat(rows, 4, axis=0) for rows in REAL[:4]))
    terms = terms_of(Batch(real, None, SYNTHETIC), dsh.Objective())
    np.testing.assert_allclose(terms["triplet_loss"].values, [0, 1 / 2 - 1 / 4 + 1])


def test_the_ramp_at_its_start_half_way_and_after_it(model):
    model.compile(objective=dsh.Objective(ramp=0.5))
    model.total_steps.assign(40)
    for steps, expected in ((0, 0.0), (10, 0.5), (20, 1.0), (40, 1.0)):
        model.steps.assign(steps)
        assert float(model.ramp()) == expected
    model.compile(objective=dsh.Objective(ramp=0.0))
    assert model.ramp() == 1.0


def test_the_learning_rate_at_its_start_peak_and_end():
    from dshgan_tf.models.warmup_linear_decay import WarmupLinearDecay

    schedule = WarmupLinearDecay(0.1, warmup=0.05, final=0.02, total_steps=1000)
    for step, expected in ((0, 0.002), (24, 0.05), (49, 0.1), (525, 0.1 * (1 - 0.98 * 0.5)), (1000, 0.002)):
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5)


def test_positives_come_first_and_have_the_anchors_labels(model, batch):
    model.compile(objective=dsh.Objective(anchor_stride=4))
    images, noise, labels = (keras.ops.convert_to_numpy(part) for part in model.synthesise(batch, training=True))
    anchors, negatives = batch["label"].numpy()[::4], batch["negative_label"].numpy()[::4]
    np.testing.assert_array_equal(labels, np.concatenate([anchors, negatives]))
    assert len(images) == len(noise) == 8 and (np.unique(noise, axis=0).shape[0] == 8)
    assert (anchors * negatives).sum() == 0


@pytest.mark.parametrize(("steps", "objective", "adversary"), [(60, None, "classes"), (150, "paper", "own")])
def test_a_short_training_raises_map(digits, steps, objective, adversary):
    keras.utils.set_random_seed(0)
    model = dsh.DSHGAN(16, 10, (8, 8, 1), method="dsh-gan", network=dsh.Network(width=8, adversary=adversary))
    model.compile(objective=dsh.Objective.paper() if objective else None)

    def value():
        codes = [model.encode(part.images) for part in (digits.query, digits.database)]
        return dsh.retrieval.evaluate(codes[0], digits.query.labels, codes[1], digits.database.labels, 16)["map"]

    before = value()
    model.fit(dsh.data.triplets(digits, 32), epochs=1, steps_per_epoch=steps, verbose=0)
    assert value() > before + 0.1


@pytest.mark.parametrize(("labels_per_class", "threshold"), [(1, 0.99), (3, 0.99), (4, 0.95), (20, 0.95)])
def test_few_labels_ask_for_more_confidence(digits, labels_per_class, threshold):
    splits = dsh.data.from_arrays(digits.database.images, digits.database.labels, 20, labels_per_class)
    assert len(splits.validation) == (4 if labels_per_class == 20 else 0) * 10
    for given, expected in ((None, threshold), (0.8, 0.8)):
        model = dsh.DSHGAN(8, 10, (8, 8, 1), network=dsh.Network(width=2))
        model.compile(objective=dsh.Objective(pseudo_label_threshold=given))
        assert float(model.threshold.numpy()) == pytest.approx(0.95 if given is None else 0.8)
        model.fit(dsh.data.triplets(splits, 8), epochs=1, steps_per_epoch=1, verbose=0)
        assert float(model.threshold.numpy()) == pytest.approx(expected)


def test_without_a_generator_there_is_no_first_stage():
    for method, factor in (("dsh-gan", 0.0), ("semi-supervised", 1.0)):
        model = dsh.DSHGAN(8, 10, (8, 8, 1), method=method, network=dsh.Network(width=2))
        model.compile(objective=dsh.Objective(gan_share=0.5))
        model.total_steps.assign(4)
        assert float(model.triplets()) == factor
        model.steps.assign(2)
        assert float(model.triplets()) == 1.0


@pytest.mark.parametrize("devices", [1, 2])
def test_a_generator_may_stop_after_the_first_stage(devices, digits, two_devices):
    """Weights, statistics and optimizer stay as they were after two steps; the encoder goes on."""
    strategy = two_devices if devices > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(0)
        network = dsh.Network(width=2, adversary="own", norm="none")
        model = dsh.DSHGAN(num_bits=6, num_classes=10, image_shape=(8, 8, 1), method="dsh-gan", network=network)
        model.compile(objective=dataclasses.replace(dsh.Objective.paper(gan_share=0.5), generator_learns_on=False))
    seen = []
    for done, steps in ((0, 1), (1, 2), (2, 4)):
        length = {"epochs": steps, "initial_epoch": done, "steps_per_epoch": 1, "total_steps": 4}
        model.fit(dsh.data.triplets(digits, 8), **length, verbose=0)
        networks = ([*model.generator.variables, *model.generator_player.optimizer.variables], model.encoder.weights)
        seen.append([[keras.ops.convert_to_numpy(value) for value in values] for values in networks])
    (first, _), (second, encoder), (fourth, later) = seen
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    assert all((a == b).all() for a, b in zip(second, fourth, strict=True))
    assert any((a != b).any() for a, b in zip(encoder, later, strict=True))
