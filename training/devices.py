"""Devices, processes, precision and seeds of a run, set before any variable exists."""

from __future__ import annotations

import json
import os

import keras
import tensorflow as tf

from dshgan_tf.config import RunConfig
from dshgan_tf.errors import InputError
from dshgan_tf.replicas import between_processes


def prepare_devices(config: RunConfig) -> tf.distribute.Strategy:
    """Set the devices, the precision and the seed of the weights.

    `--strategy mirrored` is over the GPUs or the logical devices of this process, and, where `TF_CONFIG` names several
    workers, over those of all of them: one command line for both.

    Args:
        config: of the run.

    Returns:
        The strategy in whose scope the model is built.

    Raises:
        ValueError: no device for the strategy, or a `TF_CONFIG` that cannot be read.
    """
    if config.logical_devices:
        cpu = tf.config.list_physical_devices("CPU")[0]
        wanted = [tf.config.LogicalDeviceConfiguration()] * config.logical_devices
        tf.config.set_logical_device_configuration(cpu, wanted)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = _strategy(config)
    if config.precision != "auto":  # what is measured later holds for the model alone
        keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seeds["weights"])
    return strategy


def _strategy(config: RunConfig) -> tf.distribute.Strategy:
    workers = _workers()
    if config.strategy == "none":
        if workers > 1:
            raise InputError(f"TF_CONFIG names {workers} workers; add --strategy mirrored, or unset it")
        return tf.distribute.get_strategy()
    if workers > 1:  # before any operation, or TensorFlow refuses
        return tf.distribute.MultiWorkerMirroredStrategy()
    kind = "CPU" if config.logical_devices else "GPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if not devices:
        raise InputError("--strategy mirrored found no GPU; give --logical-devices N to split the CPU")
    return tf.distribute.MirroredStrategy(devices)


def _workers() -> int:
    """Number of processes that `TF_CONFIG` names."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        return sum(len(cluster.get(kind, [])) for kind in ("chief", "worker"))
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise InputError(f"TF_CONFIG is not what TensorFlow wants ({error}): {text!r}") from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes the run's files."""
    resolver = strategy.cluster_resolver if between_processes(strategy) else None
    if resolver is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)
