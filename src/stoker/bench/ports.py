"""Finds free TCP ports on loopback, for servers that must be given theirs."""

from __future__ import annotations

import socket

from stoker.bench.contender import LOOPBACK


def free_ports(count: int) -> list[int]:
    """Returns different ports that were free just now."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
