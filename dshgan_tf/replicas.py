"""What a training step needs to mean the same on one device and on many."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from keras import ops


def own_rows(global_rows: Any) -> Any:
    """Return this replica's rows of something that every replica drew alike.

    A mirrored seed makes replicas draw equal numbers; each draws those of the global batch and keeps its share.

    Args:
        global_rows: (R * B, ...), R replicas.

    Returns:
        (B, ...).
    """
    context = tf.distribute.get_replica_context()
    size = ops.shape(global_rows)[0] // context.num_replicas_in_sync
    start = context.replica_id_in_sync_group * size
    return global_rows[start : start + size]


def between_processes(strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas of a strategy are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def replicas_here() -> int:
    """Return the number of replicas that run this code side by side; 1 outside of any."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def global_size(local_size: int) -> int:
    """Return the number of rows over all replicas."""
    return local_size * replicas_here()


def gather_rows(*local_rows: Any) -> list[Any]:
    """Concatenate the rows of all replicas, in one exchange; the gradient flows back to each replica's own rows.

    Args:
        *local_rows: arrays (B, ...) of one dtype.

    Returns:
        For each (R * B, ...).
    """
    context, replicas = tf.distribute.get_replica_context(), replicas_here()
    if replicas == 1:
        return list(local_rows)
    packed = tf.concat([tf.reshape(rows, [-1]) for rows in local_rows], axis=0)
    # Everyone's rows in their place among zeros, summed: `all_gather` fails between processes of one replica each.
    place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=packed.dtype)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.tensordot(place, packed, axes=0))
    parts = tf.split(total, [math.prod(rows.shape) for rows in local_rows], axis=1)
    return [tf.reshape(part, (-1, *rows.shape[1:])) for part, rows in zip(parts, local_rows, strict=True)]


def assign_means(variables: list[Any], values: list[Any]) -> None:
    """Assign to each variable the mean of its value over replicas, all in one exchange."""

    def assign(strategy: tf.distribute.Strategy, values: list[Any]) -> None:
        targets = [variable.value for variable in variables]
        pairs = list(zip(values, targets, strict=True))
        means = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.MEAN, pairs) if pairs else []
        _assign(strategy, targets, means)

    tf.distribute.get_replica_context().merge_call(assign, args=(values,))


def assign_alike(variables: list[Any], values: list[Any]) -> None:
    """Assign to each variable its value, which all replicas computed alike: nothing is exchanged."""

    def assign(strategy: tf.distribute.Strategy, values: list[Any]) -> None:
        _assign(strategy, [variable.value for variable in variables], values)

    tf.distribute.get_replica_context().merge_call(assign, args=(values,))


def _assign(strategy: tf.distribute.Strategy, targets: list[Any], values: list[Any]) -> None:
    for target, value in zip(targets, values, strict=True):
        strategy.extended.update(target, lambda variable, new: variable.assign(new), args=(value,))


def global_mean(local_values: Any) -> Any:
    """Return this replica's share of the mean over the global batch; the shares of all replicas sum to it.

    Args:
        local_values: (B,) float.

    Returns:
        Scalar float, sum over the replica divided by the global batch.
    """
    return ops.mean(local_values) / replicas_here()
