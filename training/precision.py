"""`--precision auto`: the faster of float32 and mixed bfloat16, measured on the run's own training step."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from dshgan_tf.training.build import build

import dshgan_tf as dsh
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import seen_by

CANDIDATES = ("float32", "mixed_bfloat16")
WARM_UP, MEASURED = 3, 8  # steps
AVX512 = "avx512f"  # without these instructions a CPU emulates 16 bits


def choose_precision(config: RunConfig, splits: Splits) -> tuple[str, str]:
    """Measure some steps in each precision.

    Args:
        config: of the run, `precision` "auto".
        splits: its data.

    Returns:
        The faster precision, and a line that says why.
    """
    seconds = {name: seconds_a_step(dataclasses.replace(config, precision=name), splits) for name in CANDIDATES}
    fastest = min(seconds, key=seconds.__getitem__)
    measured = ", ".join(f"{name} {1000 * each:.0f} ms a step" for name, each in seconds.items())
    return fastest, f"precision: {measured}; this run takes {fastest}"


def seconds_a_step(config: RunConfig, splits: Splits) -> float:
    """Train a model of its own for a few steps, and return the mean time of one.

    Args:
        config: of the run, with a precision.
        splits: its data.
    """
    network = dataclasses.replace(config.network, instance_bits=0)  # `fit` learns these after the steps
    model = build(dataclasses.replace(config, network=network), splits)
    batches = dsh.data.triplets(seen_by(model, splits), config.batch_size, config.seeds["order"])
    model.fit(batches, epochs=1, steps_per_epoch=WARM_UP, verbose=0)  # the first step is traced
    start = time.perf_counter()
    model.fit(batches, epochs=1, steps_per_epoch=MEASURED, verbose=0)
    return (time.perf_counter() - start) / MEASURED


def emulates_16_bits(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine has no GPU, and a CPU without AVX-512; False where that cannot be told."""
    import tensorflow as tf

    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return AVX512 not in flags.split() and not tf.config.list_physical_devices("GPU")
