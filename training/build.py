"""The model of a run."""

from __future__ import annotations

import dshgan_tf as dsh
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits


def build(config: RunConfig, splits: Splits) -> dsh.DSHGAN:
    """Build and compile the model of a run.

    Args:
        config: of the run.
        splits: its data.
    """
    model = dsh.DSHGAN(
        num_bits=config.num_bits,
        num_classes=splits.num_classes,
        image_shape=splits.image_shape,
        method=config.method_for(splits.multi_label),
        multi_label=splits.multi_label,
        network=config.network,
        precision=config.precision,  # not the policy now set, which keras-tuner resets before every trial
        seed=config.seeds["noise"],
    )
    model.compile(objective=config.objective, optimization=config.optimization)
    return model
