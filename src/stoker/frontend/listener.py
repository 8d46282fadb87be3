"""Manages one bound address and its open connections: their number, their timeouts, their end.

A connection is an `asyncio.Protocol` that can be checked, shut down and cut, whatever protocol it speaks.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stoker.config.address import Address
from stoker.frontend import sockets
from stoker.frontend.budget import ByteBudget, UnreadAnswers

log = logging.getLogger(__name__)

SWEEP_S = 5.0
HANDSHAKE_S = 20.0
"""Longest TLS handshake; until its end a connection has no protocol that could be checked."""
_BACKLOG = 4096
_FLUSH_S = 1.0
_WARN_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits per connection; ``connections``: those per listener.

    ``first_s``: time without a request after opening.  ``idle_s``: between requests.  ``head_s``: from the first to the
    last byte of a head.  ``slow_s``: without receiving the rest of a request or having an answer read.
    """

    connections: int = 10_000
    first_s: float = 60.0
    idle_s: float = 600.0
    head_s: float = 30.0
    slow_s: float = 60.0
    head_bytes: int = 64 << 10
    header_count: int = 1000


class Budgets:
    """Budgets of all listeners together: bytes of incomplete requests, bytes of unread answers."""

    def __init__(self, *, unparsed: int = 256 << 20, unread: int = 256 << 20) -> None:
        self.unparsed = ByteBudget(unparsed)
        self.unread = UnreadAnswers(unread)


class Connection(Protocol):
    def look(self, now: float) -> None:
        """Disconnects a client that is silent for too long."""
        ...

    def shutdown(self) -> None:
        """Shuts down: an idle connection closes at once, a busy one after its answer."""
        ...

    def give_up(self) -> None:
        """Closes at once; unread bytes are lost."""
        ...


class Connections:
    """The connections of one listener. One timer checks all of them, and none runs while there are none."""

    def __init__(self, limit: int) -> None:
        self.open: set[Connection] = set()
        self._limit = limit
        self._closed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._warned_at = 0.0

    def add(self, connection: Connection) -> bool:
        """Adds a connection. False: there are too many; drop it."""
        if len(self.open) >= self._limit:
            self._warn()
            return False
        self.open.add(connection)
        if self._timer is None:
            self._arm()
        return True

    def discard(self, connection: Connection) -> None:
        self.open.discard(connection)
        if self._closed is not None and not self._closed.done() and not self.open:
            self._closed.set_result(None)

    def shutdown(self) -> None:
        for connection in list(self.open):
            connection.shutdown()

    async def wait_closed(self, grace_s: float) -> None:
        """Waits up to ``grace_s`` until all have closed, then cuts the rest."""
        if self.open:
            self._closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._closed], timeout=grace_s)
        for connection in list(self.open):
            connection.give_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for connection in list(self.open):
            connection.look(now)
        if self.open:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self.sweep)

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned_at > _WARN_EVERY_S:
            self._warned_at = now
            log.warning("A listener has as many connections as max_connections allows: new ones are dropped")


class Listener:
    """Listens between `open` and `close`.

    ``connect`` makes a new connection's protocol; ``name``: of the address in an error, if it is not a URL.
    """

    def __init__(
        self,
        *,
        address: Address,
        connect: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> None:
        self._address = address
        self._name = name
        self._connect = connect
        self._tls = tls
        self._socket: sockets.ListeningSocket | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Returns its address, with the bound port even if 0 was requested."""
        return self._socket.address if self._socket is not None else self._address

    async def open(self) -> None:
        """Opens the listener. Raises BindError."""
        self._socket = await sockets.listen(self._address, backlog=_BACKLOG, name=self._name)
        loop = asyncio.get_running_loop()
        kind = loop.create_unix_server if self._address.scheme == "unix" else loop.create_server
        try:
            self._server = await kind(
                self._connect,
                sock=self._socket.socket,
                backlog=_BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_S,
            )
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stops accepting. Idempotent."""
        if self._server is not None and self._socket is not None:
            self._server.close()
            self._socket.close()


def flush_time(grace_s: float, began: float) -> float:
    """Returns what is left of ``grace_s`` for clients to read their answers; never zero."""
    return max(_FLUSH_S, grace_s - (time.monotonic() - began))
