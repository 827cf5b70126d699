"""Bounds of sizes: what a damaged file asks for is refused before memory is given to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dshgan_tf.errors import InputError

BOUNDS = {"num_bits": (1, 4096), "num_classes": (2, 100_000)}


def check_sizes(**sizes: Any) -> None:
    """Raise an `InputError` for a size that is no whole number within its bounds.

    Args:
        **sizes: `num_bits` or `num_classes`.
    """
    for name, value in sizes.items():
        least, most = BOUNDS[name]
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"{name} must be a whole number in {least}..{most}, got {value!r}")
