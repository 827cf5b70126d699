"""What the encoder and the generator minimise."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import pydantic

from dshgan_tf.config.settings import Count, Rate, Share, Weight, settings
from dshgan_tf.errors import InputError

THRESHOLD, STRICT_THRESHOLD = 0.95, 0.99  # of pseudo-labels
FEW_LABELS = 4  # images a class, from which on the first threshold will do


@settings
class Objective:
    """What the encoder and the generator minimise: weights, margin, ramps.

    The defaults are the default recipe; `Objective.paper()` is the published objective (docs/method/paper.md).

    Args:
        generator_loss: "saturating" (the paper's: minimise log(1 - P(real))) or "non_saturating" (-log P(real)).
        margin: triplet margin in squared Hamming distance; None means a quarter of the number of bits.
        graded_margin: margin of the triplets mined among real images times the share of labels in common; None for True
            where images have several labels and the trunk is frozen.
        triplet_weight: weight of the real-synthetic triplet loss.
        gan_share: share of the training in [0, 1], at its beginning, without any triplets: the first stage of the
            published procedure, which teaches generator, adversary and classification alone.
        generator_learns_on: whether the generator still learns after that stage.
        anchors_learn: whether real anchors learn from their real-synthetic triplets, or the synthetic images alone do.
        adversary_weight: weight of the adversary loss.
        generator_adversary_weight: the same where the generator minimises it; None for `adversary_weight`.
        classification_weight: weight of the classification loss on real labelled images.
        synthetic_classification_weight: weight of the classification loss on synthetic images.
        synthetic_weight: factor of the encoder's terms that need synthetic images (triplets, the adversary, which
            judges real images too, and classification of synthetic ones); None for 1, for 0.1 where images have several
            labels (a generator that has seen few of the many sets of labels teaches little, and slows down what the
            real images teach), and for 0.1 on the features of a frozen trunk (there the teacher knows more).
        real_triplet_weight: weight of the triplets mined among the real images of a batch; None for 0.1, and for 0 on
            the features of a frozen trunk where images have one label.
        similarity_weight: weight of the similarity loss, by which relaxed codes become as alike as their labels are
            likely to be the same; None for 20, for 0 where images have several labels, and for 5 on the features of a
            frozen trunk. Triplets ask for an order only, and lose what the class stream is unsure of.
        pseudo_label_weight: weight of the cross-entropy of confident predictions on unlabelled images; 0 takes their
            triplets, `balance_weight` and `scale_by_confidence` away too.
        pseudo_label_threshold: confidence in (0, 1] from which a prediction counts as a label; None for 0.95, and for
            0.99 where a class has fewer than 4 labelled images to train on. There early mistakes are many, and the
            classes that they mix stay mixed (docs/method/recipe.md, "One label a class").
        diversity_weight: weight of the generator's diversity loss, against one picture a class.
        balance_weight: weight of the balance of the classes predicted on unlabelled images; None for 1, and for 0 on
            the features of a frozen trunk, whose teacher balances the classes.
        bit_balance_weight: weight of the balance of the bits of real images; None for 1 where images have several
            labels (there triplets alone let most bits be equal for all images) and 0 where they have one.
        ramp: share of the training in [0, 1] over which terms that rest on synthetic images or on pseudo-labels, all
            but the adversary, and the similarity loss grow from 0 to their weight; before that the class streams know
            too little to be taught by them. None for 0.3, and for 0 on the features of a frozen trunk, whose teacher
            knows them from the start.
        scale_by_confidence: scale the triplets and the classification of synthetic images by the share of the batch's
            unlabelled images whose pseudo-label is confident. While few real images are known, the generator has
            learnt little, and should teach little.
        ema_decay: decay in [0, 1) of the averaged encoder that encodes; 0 means the last weights.
        augment: shift every image, mirror it (colour) or zoom and slant it (grey); those without a label of their own,
            unlabelled and synthetic, get other colours besides, and a hole where an image has one label.
        cut_labeled: labelled images get a hole too; for long trainings, which else learn them by heart.
        anchor_stride: every so many-th labelled image of a batch is the anchor of a real-synthetic triplet; 1 is every
            one. Synthetic images cost most of a step.
        encoder_steps: encoder updates for one generator update.
        needs_adversary: the `Network.adversary` that this objective is made for; None for any.

    Raises:
        ValueError: a value outside its range.
    """

    generator_loss: Literal["saturating", "non_saturating"] = "non_saturating"
    margin: Rate | None = None
    graded_margin: bool | None = None
    triplet_weight: Weight = 0.1
    gan_share: Share = 0.0
    generator_learns_on: bool = True
    anchors_learn: bool = True
    adversary_weight: Weight = 1.0
    generator_adversary_weight: Weight | None = None
    classification_weight: Weight = 1.0
    synthetic_classification_weight: Weight = 0.3
    synthetic_weight: Weight | None = None
    real_triplet_weight: Weight | None = None
    similarity_weight: Weight | None = None
    pseudo_label_weight: Weight = 1.0
    pseudo_label_threshold: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    diversity_weight: Weight = 0.3
    balance_weight: Weight | None = None
    bit_balance_weight: Weight | None = None
    ramp: Share | None = None
    scale_by_confidence: bool = True
    ema_decay: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.99
    augment: bool = True
    cut_labeled: bool = False
    anchor_stride: Count = 4
    encoder_steps: Count = 1
    needs_adversary: Literal["classes", "own"] | None = None

    def __post_init__(self) -> None:
        """Check what goes together."""
        if self.cut_labeled and not self.augment:
            raise InputError("cut_labeled needs augment; leave --no-augment out")
        if not self.generator_learns_on and not self.gan_share:
            raise InputError("a generator that does not learn on must learn before; give --gan-share 0.5")

    @classmethod
    def paper(cls, gan_share: float = 0.0) -> Objective:
        """The objective of Qiu et al. (SIGIR 2017): saturating, margin 1, weights 1, nothing else.

        The paper averages the adversary's loss over the three members of a triplet. The generator's two are two thirds.
        It needs a model whose adversary is a stream of its own, `Network(adversary="own")`; `compile` refuses others.

        Args:
            gan_share: of its first stage, without triplets; the paper does not say how long that is.
        """
        return cls(
            generator_loss="saturating",
            margin=1.0,
            triplet_weight=1.0,
            gan_share=gan_share,
            generator_adversary_weight=2 / 3,
            synthetic_classification_weight=1.0,
            synthetic_weight=1.0,
            graded_margin=False,
            real_triplet_weight=0.0,
            similarity_weight=0.0,
            pseudo_label_weight=0.0,
            diversity_weight=0.0,
            balance_weight=0.0,
            bit_balance_weight=0.0,
            ramp=0.0,
            scale_by_confidence=False,
            ema_decay=0.0,
            augment=False,
            anchor_stride=1,
            needs_adversary="own",
        )

    @property
    def is_published(self) -> bool:
        """Whether this is the published objective, whatever the length of its first stage."""
        return self == Objective.paper(self.gan_share)

    def threshold_for(self, fewest_labels: int) -> float:
        """Return the threshold of pseudo-labels.

        Args:
            fewest_labels: labelled images of the rarest class.
        """
        if self.pseudo_label_threshold is not None:
            return self.pseudo_label_threshold
        return STRICT_THRESHOLD if fewest_labels < FEW_LABELS else THRESHOLD

    def resolve(self, num_bits: int, multi_label: bool, taught: bool = False) -> Objective:
        """Return the same objective with a number for everything that depends on the data.

        Args:
            num_bits: K.
            multi_label: whether an image may have several labels.
            taught: whether a teacher labels the unlabelled images, as it does on the features of a frozen trunk, and
                where its last layers train after that.
        """

        def given(value: Any, otherwise: Any) -> Any:
            return otherwise if value is None else value

        return dataclasses.replace(
            self,
            margin=given(self.margin, num_bits / 4),
            generator_adversary_weight=given(self.generator_adversary_weight, self.adversary_weight),
            synthetic_weight=given(self.synthetic_weight, 0.1 if multi_label or taught else 1.0),
            bit_balance_weight=given(self.bit_balance_weight, 1.0 if multi_label else 0.0),
            graded_margin=given(self.graded_margin, multi_label and taught),
            real_triplet_weight=given(self.real_triplet_weight, 0.0 if taught and not multi_label else 0.1),
            similarity_weight=given(self.similarity_weight, 5.0 if taught else 0.0 if multi_label else 20.0),
            balance_weight=given(self.balance_weight, 0.0 if taught else 1.0),
            ramp=given(self.ramp, 0.0 if taught else 0.3),
        )
