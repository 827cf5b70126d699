"""What each player minimises: the weighted terms of the encoder and of the generator, one value an example each."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from dshgan_tf import losses
from dshgan_tf.config import Objective
from dshgan_tf.preprocessing import HALF_RANGE
from dshgan_tf.replicas import gather_rows

Tensors = dict[str, Any]


class Term(NamedTuple):
    """A named term of a loss: its weight (a number or a scalar tensor) and its values, (B,)."""

    weight: Any
    values: Any


def encoder_terms(
    streams: dict[str, Tensors], labels: Tensors, objective: Objective, ramp: Any, margin: float, multi_label: bool
) -> dict[str, Term]:
    """Return what the CNN and its streams minimise, l_triplet + l_adv + l_cls and the recipe's additions.

    Args:
        streams: the encoder's outputs for "real" (B labelled images) and, where there are any, "unlabeled" (B) and
            "synthetic" (2 A, those of A anchors: all x+, then all x-).
        labels: label rows for each of these; those of "unlabeled" are pseudo-labels, and "unlabeled_known" (B, L) is 1
            where these are confident; both are there if they are used. Every row of "frequency" is how frequent the
            labels are.
        objective: the weights.
        ramp: factor in [0, 1] of the terms that rest on synthetic images or on pseudo-labels.
        margin: of the triplets.
        multi_label: sigmoid instead of softmax classification.

    Returns:
        Name -> term.

    Reference:
        Qiu et al., SIGIR 2017, the loss of the CNN.
    """
    real, everyone = streams["real"], _gather(streams, labels, objective, multi_label)
    codes = real["relaxed_codes"]
    terms = {
        "classification_loss": Term(
            objective.classification_weight,
            losses.classification_loss(labels["real"], real["class_logits"], multi_label),
        )
    }
    mined = {"margin": margin, "graded": objective.graded_margin}
    if objective.real_triplet_weight:
        terms["real_triplet_loss"] = Term(
            objective.real_triplet_weight,
            losses.batch_triplet_loss(codes, labels["real"], everyone["codes"], everyone["labels"], **mined),
        )
    if weight := objective.bit_balance_for(multi_label):
        balance = losses.bit_balance_loss(everyone["codes"])
        terms["bit_balance_loss"] = Term(weight, ops.broadcast_to(balance, (1,)))
    if "unlabeled" in labels:
        unlabeled = streams["unlabeled"]
        known = labels["unlabeled_known"]
        weight = objective.pseudo_label_weight * ramp
        terms["pseudo_label_loss"] = Term(
            weight,
            losses.classification_loss(labels["unlabeled"], unlabeled["class_logits"], multi_label, known),
        )
        if objective.balance_weight:
            balance = losses.balance_loss(everyone["unlabeled_logits"], labels["frequency"][0], multi_label)
            terms["balance_loss"] = Term(objective.balance_weight * ramp, ops.broadcast_to(balance, (1,)))
        if objective.real_triplet_weight:
            everyone["known"] = ops.ones_like(everyone["labels"])
            others, other_labels, other_known = (
                ops.concatenate([everyone[kind], everyone[f"unlabeled_{kind}"]])
                for kind in ("codes", "labels", "known")
            )
            terms["pseudo_triplet_loss"] = Term(
                weight * objective.real_triplet_weight,
                losses.batch_triplet_loss(
                    unlabeled["relaxed_codes"],
                    labels["unlabeled"],
                    others,
                    other_labels,
                    anchor_known=known,
                    other_known=other_known,
                    **mined,
                ),
            )
    if "synthetic" in streams:
        synthetic = streams["synthetic"]
        positive, negative = ops.split(synthetic["relaxed_codes"], 2)
        anchors = codes[:: objective.anchor_stride]
        weight = objective.synthetic_for(multi_label)
        credit = ramp
        if objective.by_knowledge and "unlabeled" in labels:
            credit = ramp * ops.mean(everyone["unlabeled_known"])
        terms["triplet_loss"] = Term(
            weight * objective.triplet_weight * credit, losses.triplet_loss(anchors, positive, negative, margin)
        )
        terms["adversary_loss"] = Term(weight * objective.adversary_weight, _adversary(streams))
        terms["synthetic_classification_loss"] = Term(
            weight * objective.synthetic_classification_weight * credit,
            losses.classification_loss(labels["synthetic"], synthetic["class_logits"], multi_label),
        )
    return terms


def generator_terms(
    anchor_codes: Any,
    synthetic: Tensors,
    images: Any,
    noise: Any,
    labels: Any,
    objective: Objective,
    margin: float,
    multi_label: bool,
) -> dict[str, Term]:
    """Return what the generator minimises, l_triplet - l_adv + l_cls.

    Args:
        anchor_codes: (A, K) relaxed codes of the anchors, constants here.
        synthetic: the encoder's outputs for the 2 A synthetic images, all x+, then all x-.
        images: (2 A, H, W, C) these images, pixels 0..255.
        noise: (2 A, Z) the noise they were made from.
        labels: (2 A, L) the labels they were made with.
        objective: the weights.
        margin: of the triplets.
        multi_label: sigmoid instead of softmax classification.

    Returns:
        Name -> term.

    Reference:
        Qiu et al., SIGIR 2017, the loss of the generator.
    """
    positive, negative = ops.split(synthetic["relaxed_codes"], 2)
    terms = {
        "generator_triplet_loss": Term(
            objective.triplet_weight, losses.triplet_loss(anchor_codes, positive, negative, margin)
        ),
        "generator_adversary_loss": Term(
            objective.adversary_weight,
            losses.generator_adversary_loss(synthetic["adversary_logits"], objective.generator_loss),
        ),
        "generator_classification_loss": Term(
            objective.synthetic_classification_weight,
            losses.classification_loss(labels, synthetic["class_logits"], multi_label),
        ),
    }
    if objective.diversity_weight:
        # The loss compares distances of images with those of noise, so pixels are scaled as the networks see them.
        own = [ops.cast(rows, images.dtype) for rows in (images / HALF_RANGE, noise, labels)]
        terms["generator_diversity_loss"] = Term(
            objective.diversity_weight, losses.diversity_loss(*own, gather_rows(*own))
        )
    return terms


def _gather(streams: dict[str, Tensors], labels: Tensors, objective: Objective, multi_label: bool) -> Tensors:
    """What is compared between images, of the global batch, so that replicas mine and balance what one device would."""
    pseudo = "unlabeled" in labels
    if not (objective.real_triplet_weight or objective.bit_balance_for(multi_label) or pseudo):
        return {}  # TensorFlow would make the exchange though nobody needs it
    rows = {"codes": streams["real"]["relaxed_codes"], "labels": labels["real"]}
    if pseudo:
        rows |= {
            "unlabeled_codes": streams["unlabeled"]["relaxed_codes"],
            "unlabeled_labels": labels["unlabeled"],
            "unlabeled_known": labels["unlabeled_known"],
            "unlabeled_logits": streams["unlabeled"]["class_logits"],
        }
    same = [ops.cast(values, rows["codes"].dtype) for values in rows.values()]
    return dict(zip(rows, gather_rows(*same), strict=True))


def _adversary(streams: dict[str, Tensors]) -> Any:
    """Mean over the members of a triplet; every real image, labelled or not, counts for the real member."""
    real = ops.mean(losses.adversary_loss(streams["real"]["adversary_logits"], real=True))
    if "unlabeled" in streams:
        unlabeled = losses.adversary_loss(streams["unlabeled"]["adversary_logits"], real=True)
        real = (real + ops.mean(unlabeled)) / 2
    positive, negative = ops.split(losses.adversary_loss(streams["synthetic"]["adversary_logits"], real=False), 2)
    return (real + positive + negative) / 3
