"""Updates whose loss or gradient is not finite: found, and where that is wanted, undone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import ops


def is_broken(values: list[Any]) -> Any:
    """Return whether any number is not finite, on any replica, so that all replicas agree.

    Args:
        values: tensors of any shape; None, the gradient of what takes no part, is passed over.

    Returns:
        Scalar float32, 1 or 0.
    """
    # A sum is finite only where every number is (or it overflows, which is no good sign either).
    total = sum(ops.sum(ops.cast(value, "float32") * 0.0) for value in values if value is not None)
    found = ops.cast(ops.logical_not(ops.isfinite(total)), "float32")
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        found = context.all_reduce(tf.distribute.ReduceOp.SUM, found)
    return ops.minimum(found, 1.0)


def remember(variables: list[Any]) -> list[tuple[Any, Any]]:
    """Return the variables with what they hold now, for `undo`."""
    return [(variable, tf.identity(ops.convert_to_tensor(variable))) for variable in variables]


def undo(remembered: list[tuple[Any, Any]], broken: Any) -> None:
    """Give variables back what they held, where an update was broken.

    Args:
        remembered: of `remember`.
        broken: scalar, 1 or 0.
    """
    for variable, value in remembered:
        variable.assign(ops.where(broken > 0, value, ops.convert_to_tensor(variable)))
