"""What the recipe adds to the paper: mined triplets, pseudo-labels, balance, and a generator of many pictures."""

from __future__ import annotations

from typing import Any

from keras import ops

from dshgan_tf.config import Objective
from dshgan_tf.losses.balance import balance_loss, bit_balance_loss
from dshgan_tf.losses.batch_triplets import batch_triplet_loss
from dshgan_tf.losses.diversity import diversity_loss
from dshgan_tf.losses.published import classification_loss
from dshgan_tf.losses.similarity import similarity_loss
from dshgan_tf.losses.terms import Batch, Images, Term
from dshgan_tf.replicas import gather_rows


def gather(batch: Batch, objective: Objective) -> Batch:
    """Return the real and unlabelled images of all replicas, so that they mine and balance what one device would.

    Args:
        batch: the images of this replica.
        objective: the weights, resolved.

    Returns:
        The global batch; images that no term compares are left out, and nothing is exchanged for them.
    """
    real, unlabeled = batch.real, _with_pseudo_labels(batch)
    needed = (
        objective.real_triplet_weight
        or objective.similarity_weight
        or objective.bit_balance_weight
        or unlabeled is not None
    )
    if not needed:  # TensorFlow would make the exchange though nobody needs it
        return Batch(real)
    rows = [real.relaxed_codes, real.labels]
    if unlabeled is not None:
        rows += [unlabeled.relaxed_codes, unlabeled.labels, unlabeled.known, unlabeled.class_logits, unlabeled.likely]
    rows = gather_rows(*(ops.cast(values, real.relaxed_codes.dtype) for values in rows))
    everyone = Batch(Images(rows[0], None, None, rows[1], ops.ones_like(rows[1])))
    if unlabeled is not None:
        everyone = everyone._replace(unlabeled=Images(rows[2], None, rows[5], rows[3], rows[4], rows[6]))
    return everyone


def mined_triplets(batch: Batch, everyone: Batch, objective: Objective) -> dict[str, Term]:
    """Triplets mined among the real images, and among these and the pseudo-labelled ones.

    Args:
        batch: the images of this replica, the anchors.
        everyone: those of all replicas.
        objective: the weights, resolved.

    Returns:
        Name -> term.
    """
    if not objective.real_triplet_weight:
        return {}

    def loss(anchors: Images, others: list[Images]) -> Any:
        codes, labels, known = (
            ops.concatenate([getattr(images, name) for images in others])
            for name in ("relaxed_codes", "labels", "known")
        )
        return batch_triplet_loss(
            anchors.relaxed_codes,
            anchors.labels,
            codes,
            labels,
            objective.margin,
            objective.graded_margin,
            (anchors.known, known),
        )

    weight, unlabeled = objective.real_triplet_weight, _with_pseudo_labels(batch)
    terms = {"real_triplet_loss": Term(weight, loss(batch.real, [everyone.real]))}
    if unlabeled is not None:
        values = loss(unlabeled, [everyone.real, everyone.unlabeled])
        terms["pseudo_triplet_loss"] = Term(objective.pseudo_label_weight * weight, values)
    return terms


def similarity(batch: Batch, everyone: Batch, objective: Objective, multi_label: bool) -> dict[str, Term]:
    """Relaxed codes as alike as their labels, among the labelled and the unlabelled images.

    Args:
        batch: the images of this replica.
        everyone: those of all replicas.
        objective: the weights, resolved.
        multi_label: whether an image may have several labels.

    Returns:
        Name -> term.
    """
    if not objective.similarity_weight:
        return {}

    def rows(images: Batch) -> tuple[Any, Any]:
        kinds = [kind for kind in (images.real, _with_pseudo_labels(images)) if kind is not None]
        codes = ops.concatenate([kind.relaxed_codes for kind in kinds])
        labels = [kind.labels if kind.likely is None else kind.likely for kind in kinds]
        return codes, ops.concatenate([ops.cast(label, codes.dtype) for label in labels])

    values = similarity_loss(*rows(batch), *rows(everyone), multi_label)
    return {"similarity_loss": Term(objective.similarity_weight, values)}


def pseudo_label_terms(
    batch: Batch, everyone: Batch, objective: Objective, multi_label: bool, label_frequency: Any
) -> dict[str, Term]:
    """Classification of unlabelled images by their pseudo-labels, and the balance of the classes predicted on them.

    Args:
        batch: the images of this replica.
        everyone: those of all replicas.
        objective: the weights, resolved.
        multi_label: whether an image may have several labels.
        label_frequency: (L,) float, how frequent each label is among the labelled images.

    Returns:
        Name -> term.
    """
    unlabeled = _with_pseudo_labels(batch)
    if unlabeled is None:
        return {}
    values = classification_loss(unlabeled.labels, unlabeled.class_logits, multi_label, unlabeled.known)
    terms = {"pseudo_label_loss": Term(objective.pseudo_label_weight, values)}
    if objective.balance_weight:
        balance = balance_loss(everyone.unlabeled.class_logits, label_frequency, multi_label)
        terms["balance_loss"] = Term(objective.balance_weight, ops.broadcast_to(balance, (1,)))
    return terms


def bit_balance(everyone: Batch, objective: Objective) -> dict[str, Term]:
    """Balance of the bits of the real images.

    Args:
        everyone: the images of all replicas.
        objective: the weights, resolved.

    Returns:
        Name -> term.
    """
    if not objective.bit_balance_weight:
        return {}
    balance = bit_balance_loss(everyone.real.relaxed_codes)
    return {"bit_balance_loss": Term(objective.bit_balance_weight, ops.broadcast_to(balance, (1,)))}


def diversity(images: Any, noise: Any, labels: Any, objective: Objective) -> dict[str, Term]:
    """Diversity of the generator's images.

    Args:
        images: (M, H, W, C) or (M, F) float, synthetic, scaled as the networks see them: the loss compares their
            distances with those of the noise.
        noise: (M, Z) they were made from.
        labels: (M, L) they were made with.
        objective: the weights, resolved.

    Returns:
        Name -> term.
    """
    if not objective.diversity_weight:
        return {}
    own = [ops.cast(rows, images.dtype) for rows in (images, noise, labels)]
    return {"generator_diversity_loss": Term(objective.diversity_weight, diversity_loss(*own, gather_rows(*own)))}


def confident_share(everyone: Batch, objective: Objective) -> Any:
    """Return the share of pseudo-labels that are confident, by which synthetic images teach; 1 where that is off."""
    if objective.scale_by_confidence and everyone.unlabeled is not None:
        return ops.mean(everyone.unlabeled.known)
    return 1.0


def _with_pseudo_labels(batch: Batch) -> Images | None:
    """Return the unlabelled images where their pseudo-labels are used."""
    return None if batch.unlabeled is None or batch.unlabeled.labels is None else batch.unlabeled
