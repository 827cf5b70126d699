"""Find a port before anything slow is imported."""

from __future__ import annotations

import socket

from dshgan_tf.errors import InputError

FIRST, LAST = 7860, 7959  # tried one after the other where no port is given


def free_port(host: str, port: int | None) -> int:
    """Return a port that can be listened on.

    Args:
        host: address.
        port: wanted; None for the first free one from 7860 on.

    Raises:
        InputError: there is none, or no such address.
    """
    if port is not None and not 0 < port < 1 << 16:
        raise InputError(f"ports are 1 to 65535, got {port}; give another --port")
    reason = None
    for candidate in range(FIRST, LAST + 1) if port is None else [port]:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return candidate
        except OSError as error:
            reason = error
            if isinstance(error, socket.gaierror):  # no such address, whatever the port
                break
    raise InputError(f"cannot listen on {host}:{port or FIRST} ({reason}); give another --port or --host")
