"""One training run: its data, size, duration, networks, optimization and objective."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from dshgan_tf.config.method import Method, suitable_method
from dshgan_tf.config.network import Network
from dshgan_tf.config.objective import Objective
from dshgan_tf.config.optimization import Optimization
from dshgan_tf.config.settings import Count, CountOrNone, Seed, explain, settings
from dshgan_tf.errors import InputError
from dshgan_tf.files import write_json

ImageSize = Annotated[int, pydantic.Field(ge=1, le=1024)]
DeviceCount = Annotated[int, pydantic.Field(ge=0)]


@settings
class RunConfig:
    """One training run.

    Args:
        preset: name of the preset it started from.
        dataset: "digits", "cifar10", "folder", "table", "nuswide", or "tfds:NAME" for any of TensorFlow Datasets.
        data_dir: TFDS folder, None for `TFDS_DATA_DIR`; folder of images or of NUS-WIDE; CSV or Parquet file.
        image_size: side in pixels that image files are resized to; None for what a pretrained backbone takes, and else
            to choose by their sizes.
        image_field: of "tfds:NAME", the feature with the image.
        label_field: of "tfds:NAME", the feature with the label or labels.
        protocol: name of the split protocol; None for the one named like the data set.
        labels_per_class: labels used a class, validation included; None for the protocol's number.
        validation: False lets all labels train, once nothing is left to choose; else a fifth of them validates, from 5
            labels a class on.
        unseen_classes: number of classes, drawn by the seed, that nobody labels; they are asked for and searched. None
            for the protocol's number.
        unlabeled_unseen: images of these classes train as unlabelled ones; else they do not train at all.
        num_bits: length of a code.
        seed: of everything that has no seed of its own.
        split_seed: which images are queries, labelled and validation images; None for `seed`, like the next three.
        order_seed: of the batches.
        weights_seed: of the first weights.
        noise_seed: of the generator's noise and of the augmentation.
        method: "dsh-gan"; "semi-supervised" leaves out generator and adversary and keeps every other use of unlabelled
            images; "supervised" trains the same encoder on the same labelled batches, and on nothing else. None for
            what is worth its time: "dsh-gan" on a frozen trunk whose features are generated, where images have one
            label, and with the paper's adversary; else "semi-supervised" (docs/method/pixels.md).
        unlabeled: False takes the unlabelled images from training, where labelled ones stand for them: an ablation.
        steps: training steps in all.
        steps_per_epoch: steps between two checkpoints, lines of metrics and validations.
        batch_size: labelled images a step, over all replicas, and as many unlabelled ones.
        fine_tune: steps that go on after those on a frozen trunk, end to end on pixels, with its last layers
            trained; a multiple of 50, or fewer than that; 0 for none.
        fine_tuned_layers: how many of the trunk's last layers with weights train then.
        sampling: of the labelled images: "uniform", each as often as any other, or "balanced", each class asked
            for as often as any other.
        precision: Keras dtype policy; "auto" measures which of float32 and mixed_bfloat16 is faster here.
        strategy: "none", or "mirrored" over all GPUs or over `logical_devices` CPU devices, of all the workers that
            the environment variable TF_CONFIG names.
        logical_devices: split the CPU into so many devices; 0 leaves it whole.
        kept_checkpoints: how many checkpoints stay.
        deterministic: same seed, same machine, same weights to the bit; slower.
        top_k: cut of `map_at_k` and `precision_at_k`; None for the whole ranking.
        network: architecture of encoder and generator.
        optimization: learning rates.
        objective: weights, margin and ramps of the losses.

    Raises:
        ValueError: a value of another type, out of range, or that does not go with others; the message names it.
    """

    preset: str = "custom"
    dataset: str = "digits"
    data_dir: str | None = None
    image_size: ImageSize | None = None
    image_field: str = "image"
    label_field: str = "label"
    protocol: str | None = None
    labels_per_class: CountOrNone = None
    validation: bool = True
    unseen_classes: Annotated[int, pydantic.Field(ge=0)] | None = None
    unlabeled_unseen: bool = False
    num_bits: Count = 32
    seed: Seed = 0
    split_seed: Seed | None = None
    order_seed: Seed | None = None
    weights_seed: Seed | None = None
    noise_seed: Seed | None = None
    method: Method | None = None
    unlabeled: bool = True
    steps: Count = 2400
    steps_per_epoch: Count = 100
    batch_size: Count = 64
    fine_tune: Annotated[int, pydantic.Field(ge=0)] = 0
    fine_tuned_layers: Count = 16
    sampling: Literal["uniform", "balanced"] = "uniform"
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "auto"] = "float32"
    strategy: Literal["none", "mirrored"] = "none"
    logical_devices: DeviceCount = 0
    kept_checkpoints: Count = 2
    deterministic: bool = False
    top_k: CountOrNone = None
    network: Network = dataclasses.field(default_factory=Network)
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    objective: Objective = dataclasses.field(default_factory=Objective)

    def __post_init__(self) -> None:
        """Check what goes together."""
        if self.logical_devices and self.strategy != "mirrored":
            raise InputError(f"logical_devices={self.logical_devices} needs a strategy; add --strategy mirrored")
        if self.precision == "auto" and (self.strategy != "none" or self.deterministic):
            raise InputError(
                "precision='auto' measures one process, and may choose otherwise the next time; with a strategy or "
                "deterministic=True name the precision"
            )
        if self.steps % self.epoch_length:
            raise InputError(
                f"steps ({self.steps}) must be a multiple of steps_per_epoch ({self.steps_per_epoch}); "
                f"take {-(-self.steps // self.epoch_length) * self.epoch_length}"
            )
        if self.fine_tune and not self.network.frozen:
            raise InputError(f"fine_tune={self.fine_tune} goes on from a frozen trunk; add --trained-layers 0")
        check_adversary(self.objective, self.network)

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

    def method_for(self, multi_label: bool) -> Method:
        """Return the method: the one that is named, or else the one that suits the data.

        Args:
            multi_label: whether an image may have several labels.
        """
        return self.method or suitable_method(self.network, multi_label)

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
            text = Path(path).read_text()
        except (OSError, ValueError) as error:  # the last: no text
            raise InputError(f"cannot read config {path}: {error}") from error
        try:
            return pydantic.TypeAdapter(cls).validate_json(text)
        except pydantic.ValidationError as error:
            raise InputError(f"{path}: {explain(error, cls)}") from error


def check_adversary(objective: Objective, network: Network) -> None:
    """Raise an `InputError` where an objective is made for another adversary than the network has."""
    if objective.needs_adversary not in (None, network.adversary):
        raise InputError(
            f"this objective needs a network with adversary={objective.needs_adversary!r}, got {network.adversary!r}; "
            f"build it with Network(adversary={objective.needs_adversary!r})"
        )
