"""Frozen, validated configuration: the training objective and one run's settings."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal

GeneratorLoss = Literal["saturating", "non_saturating"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the encoder and the generator minimise: weights, margin, ramps.

    The defaults are the default recipe; `Objective.paper()` is the published objective to the letter.

    Args:
        generator_loss: "saturating" (the paper's: minimise log(1 - P(real))) or "non_saturating" (-log P(real)).
        margin: triplet margin in squared Hamming distance; None means a quarter of the number of bits.
        triplet_weight: weight of the real-synthetic triplet loss.
        adversary_weight: weight of the adversary loss.
        classification_weight: weight of the classification loss on real labelled images.
        synthetic_classification_weight: weight of the classification loss on synthetic images.
        real_triplet_weight: weight of the triplets mined among the real images of a batch.
        pseudo_label_weight: weight of the cross-entropy of confident predictions on unlabelled images.
        pseudo_label_threshold: confidence in (0.5, 1] from which a prediction counts as a label.
        ramp: share of the training in [0, 1] over which terms that rest on synthetic images or on pseudo-labels
            grow from 0 to their weight; before that the class streams know too little to be taught by them.
        ema_decay: decay in [0, 1) of the averaged encoder that encodes; 0 means the last weights.
        augment: shift, zoom and (colour images) mirror every image, real and synthetic alike.
        encoder_steps: encoder updates for one generator update.

    Raises:
        ValueError: a value outside its range.
    """

    generator_loss: GeneratorLoss = "non_saturating"
    margin: float | None = None
    triplet_weight: float = 1.0
    adversary_weight: float = 1.0
    classification_weight: float = 1.0
    synthetic_classification_weight: float = 1.0
    real_triplet_weight: float = 1.0
    pseudo_label_weight: float = 1.0
    pseudo_label_threshold: float = 0.95
    ramp: float = 0.3
    ema_decay: float = 0.99
    augment: bool = True
    encoder_steps: int = 1

    def __post_init__(self) -> None:
        """Validate."""
        _require(
            self.generator_loss in ("saturating", "non_saturating"),
            f"generator_loss must be 'saturating' or 'non_saturating', got {self.generator_loss!r}",
        )
        _require(self.margin is None or self.margin > 0, f"margin must be positive or None, got {self.margin}")
        for field in dataclasses.fields(self):
            if field.name.endswith("_weight"):
                value = getattr(self, field.name)
                _require(0 <= value < float("inf"), f"{field.name} must be finite and at least 0, got {value}")
        _require(
            0.5 < self.pseudo_label_threshold <= 1,
            f"pseudo_label_threshold must lie in (0.5, 1], got {self.pseudo_label_threshold}",
        )
        _require(0 <= self.ramp <= 1, f"ramp is a share of the training in [0, 1], got {self.ramp}")
        _require(0 <= self.ema_decay < 1, f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        _require(self.encoder_steps >= 1, f"encoder_steps must be at least 1, got {self.encoder_steps}")

    @classmethod
    def paper(cls) -> Objective:
        """The objective of Qiu et al. (SIGIR 2017): saturating, margin 1, weights 1, nothing else."""
        return cls(
            generator_loss="saturating",
            margin=1.0,
            real_triplet_weight=0.0,
            pseudo_label_weight=0.0,
            ramp=0.0,
            ema_decay=0.0,
            augment=False,
        )

    def margin_for(self, num_bits: int) -> float:
        """Return the margin for `num_bits` bits, in squared Hamming distance."""
        return num_bits / 4 if self.margin is None else self.margin
