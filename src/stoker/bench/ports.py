"""Free TCP ports on loopback for servers that must be told theirs."""

from __future__ import annotations

import socket

from stoker.bench.contender import LOOPBACK


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; asked for together, so they differ."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
