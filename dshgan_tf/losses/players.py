"""What each player minimises: the paper's terms, and what the recipe adds to them."""

from __future__ import annotations

from typing import Any, NamedTuple

from dshgan_tf.config import Objective
from dshgan_tf.losses import additions, published
from dshgan_tf.losses.terms import Batch, Images, Term

RESTS_ON_PSEUDO_LABELS = ("pseudo_label_loss", "balance_loss", "pseudo_triplet_loss", "similarity_loss")
RESTS_ON_SYNTHETIC_IMAGES = ("triplet_loss", "adversary_loss", "synthetic_classification_loss")
TRIPLETS = ("triplet_loss", "real_triplet_loss", "pseudo_triplet_loss", "similarity_loss")
TEACHES_BY_SYNTHETIC_IMAGES = ("triplet_loss", "synthetic_classification_loss")


class Task(NamedTuple):
    """What the losses must know beside the images.

    Attributes:
        objective: the weights, resolved for the data.
        multi_label: whether an image may have several labels.
        label_frequency: (L,) float, how frequent each label is among the labelled images.
        ramp: scalar in [0, 1], factor of the terms that rest on synthetic images or on pseudo-labels, and of the
            similarity loss.
        triplets: 0 in the first stage, without triplets, and 1 after it.
    """

    objective: Objective
    multi_label: bool
    label_frequency: Any
    ramp: Any = 1.0
    triplets: Any = 1.0


def encoder_terms(batch: Batch, task: Task) -> dict[str, Term]:
    """What the CNN and its streams minimise.

    Args:
        batch: the images of a step.
        task: objective and data.

    Returns:
        Name -> term.
    """
    objective, multi_label = task.objective, task.multi_label
    everyone = additions.gather(batch, objective)
    terms = {
        **published.encoder_terms(batch, objective, multi_label),
        **additions.mined_triplets(batch, everyone, objective),
        **additions.similarity(batch, everyone, objective, multi_label),
        **additions.pseudo_label_terms(batch, everyone, objective, multi_label, task.label_frequency),
        **additions.bit_balance(everyone, objective),
    }
    terms = scale(terms, TRIPLETS, task.triplets)
    terms = scale(terms, RESTS_ON_PSEUDO_LABELS, task.ramp)
    terms = scale(terms, RESTS_ON_SYNTHETIC_IMAGES, objective.synthetic_weight)
    return scale(terms, TEACHES_BY_SYNTHETIC_IMAGES, task.ramp * additions.confident_share(everyone, objective))


def generator_terms(anchor_codes: Any, synthetic: Images, made: tuple[Any, Any, Any], task: Task) -> dict[str, Term]:
    """What the generator minimises.

    Args:
        anchor_codes: (A, K) relaxed codes of the anchors, constants here.
        synthetic: what the encoder says of the 2 A synthetic images, all x+, then all x-.
        made: these images (2 A, H, W, C), scaled by `Generator.scaled`, their noise (2 A, Z) and their labels (2 A, L).
        task: objective and data.

    Returns:
        Name -> term.
    """
    terms = published.generator_terms(anchor_codes, synthetic, task.objective, task.multi_label)
    terms |= additions.diversity(*made, task.objective)
    return scale(terms, ("generator_triplet_loss",), task.triplets)


def scale(terms: dict[str, Term], names: tuple[str, ...], factor: Any) -> dict[str, Term]:
    """Return the terms, with the weights of the named ones times a factor."""
    return {name: term.scaled(factor) if name in names else term for name, term in terms.items()}
