"""Labels of queries and database, checked and laid out as words."""

from __future__ import annotations

import numpy as np

from dshgan_tf.codes import code_words
from dshgan_tf.errors import InputError


def check_labels(labels: np.ndarray, count: int, name: str, num_labels: int | None = None) -> None:
    """Check labels against the number of codes and, for a database, against the queries' kind of labels.

    Args:
        labels: (N,) integer class ids of at least -1, or (N, L) multi-hot in {0, 1}.
        count: N.
        name: what the error messages call the labels.
        num_labels: of the queries, which a database must have too: L of multi-hot labels, 0 for class ids; None for the
            queries' own labels.

    Raises:
        ValueError: if shape, dtype, values or kind are wrong.
    """
    if labels.ndim not in (1, 2) or len(labels) != count:
        raise InputError(
            f"{name} must be ({count},) class ids or ({count}, L) multi-hot, one row a code, got {labels.shape}; "
            "pass labels and codes of the same images."
        )
    if labels.ndim == 1 and not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{name} must be integer class ids, got dtype {labels.dtype}; number the classes from 0.")
    if labels.ndim == 1 and np.any(labels < -1):
        raise InputError(f"{name} must be class ids of at least -1, got {labels.min()}; use -1 for no label.")
    if labels.ndim == 2 and (not labels.shape[1] or (labels.dtype != bool and np.any((labels != 0) & (labels != 1)))):
        raise InputError(
            f"{name} of shape {labels.shape} must be multi-hot, every value 0 or 1; pass class ids as an (N,) array."
        )
    if num_labels is not None and (0 if labels.ndim == 1 else labels.shape[1]) != num_labels:
        raise InputError(
            f"{name} must be of the queries' kind, {num_labels or 'no'} multi-hot columns, got {labels.shape}; "
            "give query and database the same label encoding."
        )


def label_words(labels: np.ndarray, none: int) -> np.ndarray:
    """Lay out labels as (N, words) uint64, so that equality or common bits tell similarity.

    Args:
        labels: (N,) class ids, or (N, L) multi-hot.
        none: the id that stands for no label, different on the two sides, so that none is similar to none.

    Returns:
        (N, 1) class ids, or (N, ceil(L/64)) sets.
    """
    if labels.ndim == 1:
        return np.where(labels < 0, none, labels).astype(np.int64).view(np.uint64)[:, None]
    return code_words(np.packbits(labels != 0, axis=1))
