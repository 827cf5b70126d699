"""Frozen, validated configuration: the training objective and one run's settings."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any, Literal

from dshgan_tf.errors import InputError
from dshgan_tf.files import write_json

GeneratorLoss = Literal["saturating", "non_saturating"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the encoder and the generator minimise: weights, margin, ramps.

    The defaults are the default recipe; `Objective.paper()` is the published objective (README, What differs from the
    paper).

    Args:
        generator_loss: "saturating" (the paper's: minimise log(1 - P(real))) or "non_saturating" (-log P(real)).
        margin: triplet margin in squared Hamming distance; None means a quarter of the number of bits.
        graded_margin: margin of the triplets mined among real images times the share of labels in common.
        triplet_weight: weight of the real-synthetic triplet loss.
        adversary_weight: weight of the adversary loss.
        classification_weight: weight of the classification loss on real labelled images.
        synthetic_classification_weight: weight of the classification loss on synthetic images.
        synthetic_weight: factor of the encoder's terms that need synthetic images (triplets, the adversary, which
            judges real images too, and classification of synthetic ones); None for 1 where images have one label and
            0.1 where they have several (a generator that has seen few of the many sets of labels teaches little, and
            slows down what the real images teach).
        real_triplet_weight: weight of the triplets mined among the real images of a batch.
        pseudo_label_weight: weight of the cross-entropy of confident predictions on unlabelled images; 0 takes their
            triplets, `balance_weight` and `by_knowledge` away too.
        pseudo_label_threshold: confidence in (0, 1] from which a prediction counts as a label.
        diversity_weight: weight of the generator's diversity loss, against one picture a class.
        balance_weight: weight of the balance of the classes predicted on unlabelled images.
        bit_balance_weight: weight of the balance of the bits of real images; None for 1 where images have several
            labels (there triplets alone let most bits be equal for all images) and 0 where they have one.
        ramp: share of the training in [0, 1] over which terms that rest on synthetic images or on pseudo-labels, all
            but the adversary, grow from 0 to their weight; before that the class streams know too little to be taught
            by them.
        by_knowledge: synthetic images teach triplets and classes by the share of the batch's unlabelled images (of
            their labels, where one has several) whose pseudo-label is confident, too: as long as the streams know few
            real images, what the generator learnt from them is poor.
        ema_decay: decay in [0, 1) of the averaged encoder that encodes; 0 means the last weights.
        augment: shift every image, mirror it (colour) or zoom and slant it (grey); those without a label of their own,
            unlabelled and synthetic, get other colours besides, and a hole where an image has one label.
        cut_labeled: labelled images get a hole too; for long trainings, which else learn them by heart.
        anchor_stride: every so many-th labelled image of a batch is the anchor of a real-synthetic triplet; 1 is every
            one. Synthetic images cost most of a step.
        encoder_steps: encoder updates for one generator update.

    Raises:
        ValueError: a value outside its range.
    """

    generator_loss: GeneratorLoss = "non_saturating"
    margin: float | None = None
    graded_margin: bool = False
    triplet_weight: float = 0.1
    adversary_weight: float = 1.0
    classification_weight: float = 1.0
    synthetic_classification_weight: float = 0.3
    synthetic_weight: float | None = None
    real_triplet_weight: float = 0.1
    pseudo_label_weight: float = 1.0
    pseudo_label_threshold: float = 0.95
    diversity_weight: float = 0.3
    balance_weight: float = 1.0
    bit_balance_weight: float | None = None
    ramp: float = 0.3
    by_knowledge: bool = True
    ema_decay: float = 0.99
    augment: bool = True
    cut_labeled: bool = False
    anchor_stride: int = 4
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
                if value is not None:
                    _require(0 <= value < float("inf"), f"{field.name} must be finite and at least 0, got {value}")
        _require(
            0 < self.pseudo_label_threshold <= 1,
            f"pseudo_label_threshold must lie in (0, 1], got {self.pseudo_label_threshold}",
        )
        _require(0 <= self.ramp <= 1, f"ramp is a share of the training in [0, 1], got {self.ramp}")
        _require(0 <= self.ema_decay < 1, f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        _require(self.augment or not self.cut_labeled, "cut_labeled needs augment; leave --no-augment out")
        for name in ("encoder_steps", "anchor_stride"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def paper(cls) -> Objective:
        """The objective of Qiu et al. (SIGIR 2017): saturating, margin 1, weights 1, nothing else.

        It wants a model with `adversary="own"`.
        """
        return cls(
            generator_loss="saturating",
            margin=1.0,
            triplet_weight=1.0,
            synthetic_classification_weight=1.0,
            synthetic_weight=1.0,
            real_triplet_weight=0.0,
            pseudo_label_weight=0.0,
            diversity_weight=0.0,
            balance_weight=0.0,
            bit_balance_weight=0.0,
            ramp=0.0,
            by_knowledge=False,
            ema_decay=0.0,
            augment=False,
            anchor_stride=1,
        )

    def bit_balance_for(self, multi_label: bool) -> float:
        """Return the weight of the balance of bits."""
        if self.bit_balance_weight is None:
            return 1.0 if multi_label else 0.0
        return self.bit_balance_weight

    def synthetic_for(self, multi_label: bool) -> float:
        """Return the factor of what synthetic images teach the encoder."""
        if self.synthetic_weight is None:
            return 0.1 if multi_label else 1.0
        return self.synthetic_weight

    def margin_for(self, num_bits: int) -> float:
        """Return the margin for `num_bits` bits, in squared Hamming distance."""
        return num_bits / 4 if self.margin is None else self.margin


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One training run: data, size, duration, and the objective.

    Args:
        preset: name of the preset it started from.
        dataset: "digits", "cifar10", "folder", "table", "nuswide", or "tfds:NAME" for any of TensorFlow Datasets.
        data_dir: TFDS folder, None for `TFDS_DATA_DIR`; folder of images or of NUS-WIDE; CSV or Parquet file.
        image_size: side in pixels that image files are resized to; None to choose by their sizes.
        image_field: of "tfds:NAME", the feature with the image.
        label_field: of "tfds:NAME", the feature with the label or labels.
        protocol: name of the split protocol; None for the one named like the data set.
        labels_per_class: labels used a class, validation included; None for the protocol's number.
        num_bits: length of a code.
        seed: of everything that has no seed of its own.
        split_seed: which images are queries, labelled and validation images; None for `seed`, like the next three.
        order_seed: of the batches.
        weights_seed: of the first weights.
        noise_seed: of the generator's noise and of the augmentation.
        gan: False is the baseline: the same encoder on the same labelled batches, nothing else.
        synthetic: False leaves out generator and adversary and keeps every other use of unlabelled images.
        unlabeled: False takes the unlabelled images from training, where labelled ones stand for them: an ablation.
        steps: training steps in all.
        steps_per_epoch: steps between two checkpoints, lines of metrics and validations.
        batch_size: labelled images a step, over all replicas, and as many unlabelled ones.
        sampling: of the labelled images: "uniform", each as often as any other, or "balanced", each class asked
            for as often as any other.
        backbone: "small", the name of a keras.applications model, or a .keras file.
        weights: of the application: None, "imagenet" or a file.
        trained_layers: how many of the backbone's last layers with weights train; None for all, 0 to freeze it.
        width: channels at full resolution; None for the model's rule.
        norm: "sync_batch" (over all replicas), "batch" (over each by itself, with fewer exchanges) or "none".
        adversary: "classes", or "own" for a stream of its own (the paper's); see `DSHGAN`.
        encoder_learning_rate: peak of the schedule.
        generator_learning_rate: likewise.
        weight_decay: of the encoder, decoupled from the gradients and times the learning rate.
        precision: Keras dtype policy.
        strategy: "none", or "mirrored" over all GPUs or over `logical_devices` CPU devices, of all the workers that
            the environment variable TF_CONFIG names.
        logical_devices: split the CPU into so many devices; 0 leaves it whole.
        non_finite: "stop" at a loss or gradient that is not finite, or "skip" such updates and count them.
        kept_checkpoints: how many checkpoints stay.
        deterministic: same seed, same machine, same weights to the bit; slower.
        top_k: cut of `map_at_k` and `precision_at_k`; None for the whole ranking.
        objective: weights, margin and ramps of the losses.

    Raises:
        ValueError: a value out of range; the message names it.
    """

    preset: str = "custom"
    dataset: str = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    image_field: str = "image"
    label_field: str = "label"
    protocol: str | None = None
    labels_per_class: int | None = None
    num_bits: int = 32
    seed: int = 0
    split_seed: int | None = None
    order_seed: int | None = None
    weights_seed: int | None = None
    noise_seed: int | None = None
    gan: bool = True
    synthetic: bool = True
    unlabeled: bool = True
    steps: int = 2400
    steps_per_epoch: int = 100
    batch_size: int = 64
    sampling: Literal["uniform", "balanced"] = "uniform"
    backbone: str = "small"
    weights: str | None = None
    trained_layers: int | None = None
    width: int | None = None
    norm: Literal["sync_batch", "batch", "none"] = "sync_batch"
    adversary: Literal["classes", "own"] = "classes"
    encoder_learning_rate: float = 4e-3
    generator_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    strategy: Literal["none", "mirrored"] = "none"
    logical_devices: int = 0
    non_finite: Literal["stop", "skip"] = "stop"
    kept_checkpoints: int = 2
    deterministic: bool = False
    top_k: int | None = None
    objective: Objective = dataclasses.field(default_factory=Objective)

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("num_bits", "steps", "steps_per_epoch", "batch_size", "kept_checkpoints"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("labels_per_class", "image_size", "width", "top_k"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} must be at least 1 or left out, got {value}")
        _require(
            self.image_size is None or self.image_size <= 1024, f"image_size must lie in 1..1024, got {self.image_size}"
        )
        for name in ("encoder_learning_rate", "generator_learning_rate"):
            value = getattr(self, name)
            _require(0 < value < float("inf"), f"{name} must be positive and finite, got {value}")
        _require(0 <= self.weight_decay < 1, f"weight_decay must lie in [0, 1), got {self.weight_decay}")
        for name in ("seed", "split_seed", "order_seed", "weights_seed", "noise_seed"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < 2**32, f"{name} must lie in 0..2^32-1, got {value}")
        _require(
            self.trained_layers is None or self.trained_layers >= 0,
            f"trained_layers must be at least 0 or left out, got {self.trained_layers}",
        )
        _require(self.logical_devices >= 0, f"logical_devices must be at least 0, got {self.logical_devices}")
        _require(
            not self.logical_devices or self.strategy == "mirrored",
            f"logical_devices={self.logical_devices} needs a strategy; add --strategy mirrored",
        )
        _require(
            self.steps % self.epoch_length == 0,
            f"steps ({self.steps}) must be a multiple of steps_per_epoch ({self.steps_per_epoch}); "
            f"take {-(-self.steps // self.epoch_length) * self.epoch_length}",
        )

    @property
    def seeds(self) -> dict[str, int]:
        """The seed of each of `split`, `order`, `weights` and `noise`."""
        own = {name: getattr(self, f"{name}_seed") for name in ("split", "order", "weights", "noise")}
        return {name: self.seed if seed is None else seed for name, seed in own.items()}

    @property
    def epoch_length(self) -> int:
        """Steps between two checkpoints: `steps_per_epoch`, or fewer when the whole run is shorter."""
        return min(self.steps_per_epoch, self.steps)

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return self.steps // self.epoch_length

    def save(self, path: str | Path) -> None:
        """Write the config as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> RunConfig:
        """Read a config written by `save`.

        Raises:
            ValueError: no such file, not JSON, an unknown field, a value out of range or of another type.
        """
        try:
            values = json.loads(Path(path).read_text())
        except (OSError, ValueError, RecursionError) as error:  # no JSON, or no text
            raise InputError(f"cannot read config {path}: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"config {path} must hold a JSON object, got {type(values).__name__}")
        try:
            return cls(**_checked(cls, values | {"objective": _objective(values.get("objective", {}))}))
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error


def _objective(values: Any) -> Objective:
    if not isinstance(values, dict):
        raise InputError(f"objective must be a JSON object, got {values!r}")
    return Objective(**_checked(Objective, values))


def _checked(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """Compare names and types with the defaults', so that a typing error is named and not run."""
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"unknown field {name!r}; known are {', '.join(hints)}")
        if not _fits(value, hints[name]):
            raise InputError(f"field {name!r} must be {hints[name]}, got {value!r}")
    return values


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type; an integer is a float too, a boolean is no number."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return isinstance(value, str) and value in options
    if options:
        return any(_fits(value, option) for option in options)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint
