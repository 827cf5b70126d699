"""No request leaves the machine: Gradio's own are switched off, and the process may connect to itself alone."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def set_environment(cache: str) -> None:
    """Set what Gradio reads when it is imported, and drop what would open the page to others.

    Args:
        cache: folder for uploads and pictures.
    """
    for name in list(os.environ):
        if name.startswith("GRADIO_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(QUIET, GRADIO_TEMP_DIR=cache)


def forbid_connections(host: str) -> None:
    """Refuse connections to other machines, and look-ups of their names, until the process ends.

    A browser can ask Gradio to fetch a URL. It then gets an error.

    Args:
        host: the address that the page is served on, which Gradio visits itself.
    """

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CONNECTING:
            return
        target = arguments[0] if event.startswith("socket.get") else arguments[1]
        if isinstance(target, tuple):
            target = target[0]
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return  # a socket of this machine's own, or one that is connected already
        if not is_here(target, host):
            raise PermissionError(f"dshgan demo connects to no other machine, asked for {target!r}")

    sys.addaudithook(refuse)


def is_here(target: str | bytes | None, host: str) -> bool:
    """Return whether an address is this machine's.

    Args:
        target: name or number; None stands for any of this machine's.
        host: the address that the page is served on.
    """
    if target is None:
        return True
    name = target.decode(errors="replace") if isinstance(target, bytes) else str(target)
    if name in ("", "localhost", host):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
