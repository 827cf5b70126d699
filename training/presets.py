"""Presets: data, size and duration. The objective is the library's default; `*_paper` sets the published one."""

from __future__ import annotations

import dataclasses

from dshgan_tf.config import Network, Objective, Optimization, RunConfig

# Of a frozen trunk, whose features are computed once: a step costs little, and most is learnt from the teacher.
FROZEN = {"steps": 600, "steps_per_epoch": 100, "batch_size": 128}

# The published method: its objective, its adversary, and the learning rates that were best for it on digits.
PUBLISHED = {
    "method": "dsh-gan",
    "objective": Objective.paper(gan_share=0.5),  # the paper does not say how long its first stage is
    "network": Network(adversary="own"),
    "optimization": Optimization(encoder_learning_rate=1e-3, generator_learning_rate=2e-4),
}


def _published(preset: RunConfig) -> RunConfig:
    """The same data, size and duration with the published objective."""
    return dataclasses.replace(preset, preset=f"{preset.preset}_paper", **PUBLISHED)


# dshgan train smoke --workdir runs/smoke
# A few steps, to see that everything is installed. Seconds.
SMOKE = RunConfig(preset="smoke", dataset="digits", labels_per_class=1, num_bits=16, steps=4, steps_per_epoch=2)

# dshgan train digits --workdir runs/digits
# One label a class, which is the protocol's number. 100 seconds on one core.
# With --similarity-weight 0 MAP@all 0.935, mean of the development seeds 50 to 57; with --steps 2400 as well, as in
# most tables of docs/results/digits.md, 0.922.
DIGITS = RunConfig(preset="digits", dataset="digits", num_bits=32, steps=4200)

# dshgan train digits_paper --workdir runs/digits_paper
# The published objective in its two stages, with the better learning rates of four pairs tried in one stage.
# MAP@all 0.387 with --steps 2400, mean of seeds 0 to 4 (0.361 in one stage, the generator's adversary term at 3/2).
DIGITS_PAPER = _published(DIGITS)

# TFDS_DATA_DIR=<TFDS folder> dshgan train cifar10 --workdir runs/cifar10
# With --precision mixed_bfloat16 333 seconds on one core. With --instance-bits 0 --similarity-weight 0 MAP@all 0.587,
# mean of seeds 0 to 2; 0.568 with --no-gan; 0.585 with --synthetic, in 500 seconds. Longer runs, in
# docs/results/cifar10.md: 0.740 with 5,000 labels, 0.906 with all.
CIFAR10 = RunConfig(preset="cifar10", dataset="cifar10", num_bits=48, steps=2500)

# TFDS_DATA_DIR=<TFDS folder> dshgan train cifar10_paper --workdir runs/cifar10_paper
# The published objective, with the learning rates that were the better ones on digits. In one stage, with 50 labels a
# class and 1,000 steps: MAP@all 0.170, mean of seeds 0 to 2, where the preset before has 0.372 with --synthetic.
CIFAR10_PAPER = _published(CIFAR10)

# dshgan train <folder with one subfolder a class> --workdir runs/folder
# Your own images; those that lie in the folder itself are unlabelled. Size, channels and classes are found and printed.
FOLDER = RunConfig(preset="folder", dataset="folder", num_bits=48, steps=2500)

# dshgan train <table.csv or table.parquet> --workdir runs/table
# Your own images by a table with the columns path and labels (several separated by |, empty: unlabelled).
TABLE = RunConfig(preset="table", dataset="table", num_bits=48, steps=2500)

# dshgan train tfds:mnist --workdir runs/mnist
# Any data set of TensorFlow Datasets. --image-field and --label-field name its features, image and label by default.
TFDS = RunConfig(preset="tfds", dataset="tfds:mnist", num_bits=48, steps=2500)

# dshgan train nuswide --data-dir <folder of NUS-WIDE> --workdir runs/nuswide
# The paper's protocol of 21 concepts, MAP@5000; --protocol nuswide-81 for all. Not run: the images cannot be had here.
NUSWIDE = RunConfig(preset="nuswide", dataset="nuswide", num_bits=48, steps=2500, top_k=5000)

PRESETS = {
    preset.preset: preset
    for preset in (SMOKE, DIGITS, DIGITS_PAPER, CIFAR10, CIFAR10_PAPER, FOLDER, TABLE, TFDS, NUSWIDE)
}
