"""The paper: its three losses, and what each of the two players minimises.

Every loss is a pure function. It returns one value an example, so that the caller takes the mean. Under `tf.distribute`
that is the sum over the replica's examples divided by the global batch.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from dshgan_tf.config import Objective
from dshgan_tf.errors import InputError
from dshgan_tf.losses.terms import Batch, Images, Term


def squared_distance(a: Any, b: Any) -> Any:
    """Squared Euclidean distance of rows; on bits it is the Hamming distance.

    Args:
        a: (..., K) float.
        b: (..., K) float, broadcastable to `a`.

    Returns:
        (...) float.
    """
    return ops.sum(ops.square(a - b), axis=-1)


def triplet_loss(anchor: Any, positive: Any, negative: Any, margin: float) -> Any:
    """Relaxed triplet ranking loss, max(0, m - |a - n|^2 + |a - p|^2).

    Args:
        anchor: (B, K) float in [0, 1], relaxed codes of real images.
        positive: (B, K) float in [0, 1], codes of images with the same labels.
        negative: (B, K) float in [0, 1], codes of images that share no label.
        margin: positive float, in squared distance (a bit that differs counts 1).

    Returns:
        (B,) float, one loss a triplet.

    Reference:
        Qiu et al., SIGIR 2017, relaxed triplet ranking loss.
    """
    return ops.relu(margin - squared_distance(anchor, negative) + squared_distance(anchor, positive))


def adversary_loss(logits: Any, real: bool) -> Any:
    """Binary cross-entropy of the adversary stream, -log P(true source | x).

    Args:
        logits: (B,) float, of P(real | x).
        real: whether the images are real.

    Returns:
        (B,) float.

    Reference:
        Qiu et al., SIGIR 2017, adversary loss.
    """
    return ops.softplus(-logits if real else logits)


def generator_adversary_loss(logits: Any, kind: str) -> Any:
    """What the generator minimises at the adversary stream.

    Args:
        logits: (B,) float, of P(real | x) on synthetic images.
        kind: "saturating", log(1 - P(real)), the paper's minus `adversary_loss`; or "non_saturating", -log P(real).

    Returns:
        (B,) float.

    Raises:
        ValueError: another kind.

    Reference:
        Goodfellow et al. 2014, section 3.
    """
    if kind == "saturating":
        return -ops.softplus(logits)
    if kind == "non_saturating":
        return ops.softplus(-logits)
    raise InputError(f"generator loss must be 'saturating' or 'non_saturating', got {kind!r}")


def classification_loss(labels: Any, logits: Any, multi_label: bool = False, known: Any = 1.0) -> Any:
    """Classification stream: softmax cross-entropy (one label) or summed sigmoid cross-entropy (many).

    Args:
        labels: (B, L) float, one-hot or multi-hot.
        logits: (B, L) float.
        multi_label: whether an image may have several labels.
        known: (B, L) of 0 and 1, the labels that count.

    Returns:
        (B,) float.

    Reference:
        Qiu et al., SIGIR 2017, classification loss.
    """
    labels = ops.cast(labels, logits.dtype)
    if multi_label:
        # log(1 + e^x) - x y, summed over the labels.
        return ops.sum(known * (ops.softplus(logits) - labels * logits), axis=-1)
    return -ops.sum(known * labels * ops.log_softmax(logits, axis=-1), axis=-1)


def encoder_terms(batch: Batch, objective: Objective, multi_label: bool) -> dict[str, Term]:
    """What the CNN minimises: l_triplet + l_adv + l_cls.

    Args:
        batch: the images of a step; `unlabeled` and `synthetic` may be missing.
        objective: the weights, resolved.
        multi_label: sigmoid instead of softmax classification.

    Returns:
        Name -> term.

    Reference:
        Qiu et al., SIGIR 2017, the loss of the CNN.
    """
    real, synthetic = batch.real, batch.synthetic
    classification = classification_loss(real.labels, real.class_logits, multi_label)
    terms = {"classification_loss": Term(objective.classification_weight, classification)}
    if synthetic is None:
        return terms
    anchors = real.relaxed_codes[:: objective.anchor_stride]
    anchors = anchors if objective.anchors_learn else ops.stop_gradient(anchors)
    positives, negatives = ops.split(synthetic.relaxed_codes, 2)
    triplets = triplet_loss(anchors, positives, negatives, objective.margin)
    classification = classification_loss(synthetic.labels, synthetic.class_logits, multi_label)
    return terms | {
        "triplet_loss": Term(objective.triplet_weight, triplets),
        "adversary_loss": Term(objective.adversary_weight, triplet_adversary_loss(batch)),
        "synthetic_classification_loss": Term(objective.synthetic_classification_weight, classification),
    }


def generator_terms(anchor_codes: Any, synthetic: Images, objective: Objective, multi_label: bool) -> dict[str, Term]:
    """What the generator minimises: l_triplet - l_adv + l_cls.

    Args:
        anchor_codes: (A, K) relaxed codes of the anchors, constants here.
        synthetic: the 2 A synthetic images, all x+, then all x-.
        objective: the weights, resolved.
        multi_label: sigmoid instead of softmax classification.

    Returns:
        Name -> term.

    Reference:
        Qiu et al., SIGIR 2017, the loss of the generator.
    """
    positives, negatives = ops.split(synthetic.relaxed_codes, 2)
    triplets = triplet_loss(anchor_codes, positives, negatives, objective.margin)
    adversary = generator_adversary_loss(synthetic.adversary_logits, objective.generator_loss)
    classification = classification_loss(synthetic.labels, synthetic.class_logits, multi_label)
    return {
        "generator_triplet_loss": Term(objective.triplet_weight, triplets),
        "generator_adversary_loss": Term(objective.generator_adversary_weight, adversary),
        "generator_classification_loss": Term(objective.synthetic_classification_weight, classification),
    }


def triplet_adversary_loss(batch: Batch) -> Any:
    """Mean over the members of a triplet; every real image, labelled or not, counts for the real member.

    Args:
        batch: the images of a step; `unlabeled` may be missing.

    Returns:
        (A,) float.
    """
    real = ops.mean(adversary_loss(batch.real.adversary_logits, real=True))
    if batch.unlabeled is not None:
        real = (real + ops.mean(adversary_loss(batch.unlabeled.adversary_logits, real=True))) / 2
    positive, negative = ops.split(adversary_loss(batch.synthetic.adversary_logits, real=False), 2)
    return (real + positive + negative) / 3
