"""What a training step needs to mean the same on one device and on many."""

from __future__ import annotations

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


def global_size(local_size: int) -> int:
    """Return the number of rows over all replicas."""
    return local_size * tf.distribute.get_replica_context().num_replicas_in_sync


def gather_rows(local_rows: Any) -> Any:
    """Concatenate the rows of all replicas; the gradient flows back to each replica's own rows.

    Args:
        local_rows: (B, ...).

    Returns:
        (R * B, ...).
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return local_rows
    # Everyone's rows in their place among zeros, summed: `all_gather` fails between processes of one replica each.
    place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=local_rows.dtype)
    stacked = tf.tensordot(place, local_rows, axes=0)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, stacked)
    return tf.reshape(total, (replicas * local_rows.shape[0], *local_rows.shape[1:]))


def global_mean(local_values: Any) -> Any:
    """Return this replica's share of the mean over the global batch; the shares of all replicas sum to it.

    Args:
        local_values: (B,) float.

    Returns:
        Scalar float, sum over the replica divided by the global batch.
    """
    return ops.mean(local_values) / tf.distribute.get_replica_context().num_replicas_in_sync
