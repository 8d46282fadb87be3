"""Engine ``nghttp2``: gRPC over libnghttp2 on the server's own loop.

Each connection is an `asyncio` protocol (`connection`), with TLS over `TlsTransport`; flow control and all limits are
stoker's.
"""

from __future__ import annotations

import asyncio
import logging
import random

from stoker.config.address import Address
from stoker.frontend.connections import Connections
from stoker.frontend.grpc.connection import Connection, configuration
from stoker.frontend.grpc.engine import Setup
from stoker.frontend.listener import FLUSH_S, Listener
from stoker.frontend.tls import listening_context

log = logging.getLogger(__name__)

_AGE_JITTER = 0.1


class Nghttp2Engine:
    """Implements `Engine`, and `connection.Host` for its connections. ``methods``: by path."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.methods = {method.path.encode(): method for method in setup.methods}
        self.configuration = configuration(setup.limits)
        self.connections: Connections[Connection] = setup.budgets.connections(setup.limits.connections)
        self._listener = Listener(
            address=_address(setup.host, setup.port),
            connect=lambda: Connection(self),
            connections=self.connections,
            tls=None if setup.tls is None else listening_context(setup.tls),
            handshake_s=setup.limits.handshake_s,
            name=setup.target,
        )

    async def start(self) -> int:
        """Listens and returns the port (0 for a Unix socket). Raises BindError."""
        await self._listener.open()
        return self._listener.address.port

    def start_draining(self) -> None:
        """Asks the clients of all connections to go elsewhere; keeps listening for health checks."""
        self.connections.shutdown()

    async def flush(self, grace_s: float) -> None:
        self._refuse_open_calls()
        await self.connections.wait_left(grace_s)

    async def stop(self) -> None:
        self._listener.close()
        await asyncio.sleep(0)  # until what was accepted in this turn is a connection
        self._refuse_open_calls()
        self.connections.shutdown()
        await self.connections.wait_closed(FLUSH_S)

    def _refuse_open_calls(self) -> None:
        for connection in list(self.connections.open):
            connection.refuse_open_calls()

    def opened(self, connection: Connection) -> bool:
        """Counts a new connection. False: there are too many."""
        if not self.connections.add(connection):
            return False
        age_s, grace_s = self.setup.connection_age
        if age_s is not None:
            spread = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - not a secret
            connection.shutdown_after(age_s * spread, grace_s)
        return True


def _address(host: str, port: int) -> Address:
    if host.startswith("unix:"):
        return Address("unix", path=host.removeprefix("unix:"))
    return Address("http", host.strip("[]"), port)
