"""How much of the method trains."""

from __future__ import annotations

from typing import Literal

from dshgan_tf.errors import InputError

Method = Literal["dsh-gan", "semi-supervised", "supervised"]
METHODS = ("dsh-gan", "semi-supervised", "supervised")


def choose_method(method: str, gan: bool) -> str:
    """Return the method that is asked for; gan=False is short for the supervised one.

    Raises:
        ValueError: no such method, or two that contradict each other.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not gan and method == "semi-supervised":
        raise InputError("gan=False is short for method='supervised', got method='semi-supervised'; leave gan out")
    return method if gan else "supervised"
