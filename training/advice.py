"""What a run is told before it begins: what would suit its data or its machine better."""

from __future__ import annotations

from dshgan_tf.training.precision import emulates_16_bits

from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits

# MAP with so many labels a class: of 6 scenes, and of CIFAR-10's 10 classes (docs/results/photographs.md).
REACHED = {1: (0.79, 0.44), 2: (0.80, 0.46), 5: (0.81, 0.50), 10: (0.81, 0.53)}
# What a run without a generator does not look at.
OF_GENERATOR = {
    "objective": (
        "generator_loss",
        "triplet_weight",
        "gan_share",
        "generator_learns_on",
        "anchors_learn",
        "adversary_weight",
        "generator_adversary_weight",
        "synthetic_classification_weight",
        "synthetic_weight",
        "diversity_weight",
        "scale_by_confidence",
        "anchor_stride",
    ),
    "network": ("noise_dim", "generator"),
    "optimization": ("generator_learning_rate",),
}
PHOTOGRAPH = 64  # pixels a side, from which on a network from random weights learns little of few labels


def advice(config: RunConfig, splits: Splits) -> list[str]:
    """Return lines of advice.

    Args:
        config: of the run.
        splits: its data.
    """
    height, width, channels = splits.image_shape
    lines = []
    if config.network.backbone == "small" and channels == 3 and min(height, width) >= PHOTOGRAPH:
        lines.append(
            "of photographs a pretrained backbone makes better codes, in less time: "
            "--backbone FILE.keras --trained-layers 0, or --backbone MobileNetV2 --weights imagenet --trained-layers 0"
        )
    if config.network.frozen and not splits.multi_label:
        lines.append(what_was_reached(splits))
    generates = config.method_for(splits.multi_label) == "dsh-gan"
    if config.method is None and not generates and (idle := settings_of_no_generator(config)):
        lines.append(
            f"nothing is generated, so these settings change nothing: {', '.join(idle)}; --synthetic trains a generator"
        )
    if config.method is None and not generates and config.network.generates_features:
        lines.append(
            "images have several labels: nothing is generated, since generated features added nothing there; "
            "--synthetic trains a generator"
        )
    if config.precision == "mixed_bfloat16" and emulates_16_bits():
        lines.append(
            "this CPU has no AVX-512, so mixed_bfloat16 is likely to be slower than float32; --precision auto measures"
        )
    return lines


def settings_of_no_generator(config: RunConfig) -> list[str]:
    """Name what was set of a generator, its adversary and its images.

    Args:
        config: of a run that generates nothing.
    """
    usual = RunConfig()
    return [
        name
        for part, names in OF_GENERATOR.items()
        for name in names
        if getattr(getattr(config, part), name) != getattr(getattr(usual, part), name)
    ]


def what_was_reached(splits: Splits) -> str:
    """Say what a frozen trunk reached elsewhere with about as many labels.

    Args:
        splits: of the run; one label an image.
    """
    given = len(splits.labeled) + len(splits.validation)
    labels = max((count for count in REACHED if count * splits.num_classes <= given), default=min(REACHED))
    scenes, cifar10 = REACHED[labels]
    return (
        f"with {labels} label{'s' if labels > 1 else ''} a class a frozen EfficientNet-Lite0 reached MAP {scenes} "
        f"on 6 kinds of scenes and {cifar10} on CIFAR-10's 10 classes; yours may differ"
    )
