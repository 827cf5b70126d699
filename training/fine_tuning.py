"""The second stage of a run with `--fine-tune`: the last layers of the trunk train too, end to end, on pixels.

It starts from the weights of the frozen run, which lies whole in the folder `frozen` of the run. The teacher's labels
stay. Nothing is generated, since the features that a generator has learnt to make move with the trunk.
"""

from __future__ import annotations

import dataclasses

import dshgan_tf as dsh
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import seen_by
from dshgan_tf.errors import InputError

BATCH_SIZE = 32  # labelled images a step: of 128, a step on a CPU takes a quarter of a minute
LEARNING_RATE = 3e-4  # of what is trained already
EPOCH = 50  # steps between two checkpoints


def second_stage(config: RunConfig) -> RunConfig:
    """Return how the second stage trains.

    Args:
        config: of the run, with `fine_tune` steps.

    Raises:
        ValueError: these are no whole number of epochs.
    """
    epoch = min(EPOCH, config.fine_tune)
    if config.fine_tune % epoch:
        more = -(-config.fine_tune // epoch) * epoch
        raise InputError(f"fine_tune ({config.fine_tune}) must be a multiple of {epoch} steps; take {more}")
    return dataclasses.replace(
        config,
        fine_tune=0,
        method="supervised" if config.method == "supervised" else "semi-supervised",
        steps=config.fine_tune,
        steps_per_epoch=epoch,
        batch_size=min(BATCH_SIZE, config.batch_size),
        network=dataclasses.replace(
            config.network, trained_layers=config.fine_tuned_layers, hidden_layer=True, generator="auto"
        ),
        optimization=dataclasses.replace(config.optimization, encoder_learning_rate=LEARNING_RATE),
    )


def unfreeze(frozen: dsh.DSHGAN, stage: RunConfig) -> dsh.DSHGAN:
    """Build the model of the second stage, which encodes as the frozen one does.

    Args:
        frozen: trained on the features of a frozen trunk.
        stage: by `second_stage`.

    Returns:
        The model, compiled.

    Raises:
        ValueError: the trunk has fewer layers than shall train.
    """
    network = dataclasses.asdict(stage.network) | {"weights": None, "backbone": frozen.encoder.network.backbone}
    model = dsh.DSHGAN(**(frozen.get_config() | {"method": stage.method, "network": network}))
    for encoder in (model.encoder, model.average_encoder):
        encoder.set_weights(frozen.average_encoder.get_weights())
    model.compile(objective=stage.objective, optimization=stage.optimization)
    return model


def taught_pixels(frozen: dsh.DSHGAN, splits: Splits) -> Splits:
    """Return the splits of pixels, with the labels that the teacher spread over the frozen trunk's features.

    Args:
        frozen: the model of the first stage.
        splits: of pixels.
    """
    return dataclasses.replace(splits, taught=seen_by(frozen, splits).taught)
