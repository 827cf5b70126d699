"""How much of the method trains."""

from __future__ import annotations

from typing import Literal, get_args

from dshgan_tf.config.network import Network
from dshgan_tf.errors import InputError

Method = Literal["dsh-gan", "semi-supervised", "supervised"]
METHODS = get_args(Method)


def choose_method(method: str | None, gan: bool, network: Network, multi_label: bool) -> str:
    """Return the method that is asked for, or else the one that suits the data.

    Args:
        method: that is asked for, or None.
        gan: False is short for the supervised one.
        network: of the model.
        multi_label: whether an image may have several labels.

    Raises:
        ValueError: no such method, or two that contradict each other.
    """
    if method is not None and method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not gan and method == "semi-supervised":
        raise InputError("gan=False is short for method='supervised', got method='semi-supervised'; leave gan out")
    return (method or suitable_method(network, multi_label)) if gan else "supervised"


def suitable_method(network: Network, multi_label: bool) -> Method:
    """Return the method whose parts are worth their time (docs/method/pixels.md).

    Generated features of a frozen trunk add to what unlabelled images do, where an image has one label. Generated
    pixels are not worth their time. The paper's network is for the whole method.

    Args:
        network: of the model.
        multi_label: whether an image may have several labels.
    """
    worth_it = network.generates_features and not multi_label
    return "dsh-gan" if worth_it or network.adversary == "own" else "semi-supervised"
