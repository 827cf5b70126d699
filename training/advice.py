"""What a run is told before it begins: what would suit its data or its machine better."""

from __future__ import annotations

from dshgan_tf.training.precision import emulates_16_bits

from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits

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
    if config.method is None and config.method_for(splits.multi_label) != "dsh-gan":
        lines.append(
            "images have several labels: nothing is generated, since generated features added nothing there; "
            "--method dsh-gan trains a generator"
        )
    if config.precision == "mixed_bfloat16" and emulates_16_bits():
        lines.append(
            "this CPU has no AVX-512, so mixed_bfloat16 is likely to be slower than float32; --precision auto measures"
        )
    return lines
