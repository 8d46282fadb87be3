"""Listens at one address, with or without TLS, and defines the limits and budgets of its connections."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stoker.config.address import Address
from stoker.frontend import sockets
from stoker.frontend.budget import RequestBudget, UnreadAnswers
from stoker.frontend.connections import Connections
from stoker.frontend.open_files import OpenFiles
from stoker.frontend.tls_transport import TlsTransport

_BACKLOG = 4096
FLUSH_S = 1.0
"""Least time for the clients of a stopping listener to read their answers."""
_SLOW_UNDER_PRESSURE_S = 5.0
_LEAST_RATE = 500
"""Lowest average rate of a request, in bytes a second, once it has lasted for `Limits.slow_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits per connection; ``connections``: their number per listener.

    ``handshake_s``: time for the TLS handshake, from the accept on.  ``first_s``: time without a request after opening.
    ``idle_s``: time between requests.  ``head_s``: time from the first to the last byte of a head.  ``slow_s``: time
    without receiving more of a request, or without the client reading more of an answer.
    """

    connections: int = 10_000
    handshake_s: float = 20.0
    first_s: float = 60.0
    idle_s: float = 600.0
    head_s: float = 30.0
    slow_s: float = 60.0
    head_bytes: int = 64 << 10
    header_count: int = 1000


class Budgets:
    """Holds the budgets that all listeners share: bytes of incomplete requests, bytes of unread answers, open files."""

    def __init__(self, *, unparsed: int = 256 << 20, unread: int = 256 << 20, files: OpenFiles | None = None) -> None:
        self.unparsed = RequestBudget(unparsed)
        self.unread = UnreadAnswers(unread)
        self.files = files

    def slow_s(self, usual_s: float) -> float:
        """Returns how long an incomplete request may be silent; less while others wait for room."""
        return min(usual_s, _SLOW_UNDER_PRESSURE_S) if self.unparsed.short else usual_s

    def is_late(self, usual_s: float, *, quiet_s: float, lasted_s: float, received: int) -> bool:
        """Tells whether an incomplete request, of which ``received`` bytes have come, is too slow.

        ``quiet_s``: time since its newest byte; ``lasted_s``: since its first.
        """
        return quiet_s > self.slow_s(usual_s) or lasted_s > usual_s + received / _LEAST_RATE

    def connections(self, most: int) -> Connections[Any]:
        """Makes the set of one listener's connections."""
        return Connections(most, None if self.files is None else self.files.share())


class Listener:
    """Listens between `open` and `close`.

    ``connect`` makes a new connection's protocol, which adds itself to ``connections``.  ``name``: what an error calls
    the address, if not its URL.
    """

    def __init__(
        self,
        *,
        address: Address,
        connect: Callable[[], asyncio.Protocol],
        connections: Connections[Any],
        tls: ssl.SSLContext | None = None,
        handshake_s: float = 20.0,
        name: str | None = None,
    ) -> None:
        self._address = address
        self._name = name
        self._connect = connect
        self._connections = connections
        self._tls = tls
        self._handshake_s = handshake_s
        self._socket: sockets.ListeningSocket | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Returns the address, with the bound port even if 0 was requested."""
        return self._socket.address if self._socket is not None else self._address

    async def open(self) -> None:
        """Opens the listener. Raises BindError."""
        self._socket = await sockets.listen(self._address, backlog=_BACKLOG, name=self._name)
        loop = asyncio.get_running_loop()
        kind = loop.create_unix_server if self._address.scheme == "unix" else loop.create_server
        try:
            self._server = await kind(self._accepted, sock=self._socket.socket, backlog=_BACKLOG)
        except BaseException:
            self._socket.close()
            raise

    def _accepted(self) -> asyncio.BaseProtocol:
        inner = self._connect()
        if self._tls is None:
            return inner
        return TlsTransport(inner, self._tls, self._connections, handshake_s=self._handshake_s)

    def close(self) -> None:
        """Stops accepting. Idempotent."""
        if self._server is not None and self._socket is not None:
            self._server.close()
            self._socket.close()


def flush_time(grace_s: float, began: float) -> float:
    """Returns what is left of ``grace_s`` for clients to read their answers; never zero."""
    return max(FLUSH_S, grace_s - (time.monotonic() - began))
