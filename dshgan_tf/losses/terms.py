"""What a loss is made of: named terms, and the images that they are about."""

from __future__ import annotations

from typing import Any, NamedTuple


class Term(NamedTuple):
    """A term of a loss.

    Attributes:
        weight: number or scalar tensor.
        values: (B,) float, one value an example.
    """

    weight: Any
    values: Any

    def scaled(self, factor: Any) -> Term:
        """Return the term with its weight times a factor."""
        return Term(self.weight * factor, self.values)


class Images(NamedTuple):
    """What the encoder says of images of one kind, and their labels.

    Attributes:
        relaxed_codes: (B, K) float in [0, 1].
        adversary_logits: (B,) float, of P(real).
        class_logits: (B, L) float.
        labels: (B, L) multi-hot; None where no label is used.
        known: (B, L) of 0 and 1, the labels that count; 1 for all of them.
        likely: (B, L) probabilities of the labels; codes become as alike as these are. None where `labels` are certain.
    """

    relaxed_codes: Any
    adversary_logits: Any
    class_logits: Any
    labels: Any = None
    known: Any = 1.0
    likely: Any = None


class Batch(NamedTuple):
    """The images of one training step.

    Attributes:
        real: B labelled images.
        unlabeled: B images whose labels are pseudo-labels, or None.
        synthetic: 2 A images for A anchors, all x+ and then all x-, or None.
    """

    real: Images
    unlabeled: Images | None = None
    synthetic: Images | None = None
