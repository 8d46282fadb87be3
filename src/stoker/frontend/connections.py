"""Counts and checks the connections of one listener, from accept to close.

Invariants: a connection counts from its accept on; one that is still in its handshake gives way to newer ones, so that
clients that never finish a handshake do not keep others out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Generic, Protocol, TypeVar

from stoker.frontend.open_files import FileShare
from stoker.frontend.trimming import Trimming

log = logging.getLogger(__name__)

SWEEP_S = 5.0
MOST_HANDSHAKES = 1024
_WARN_EVERY_S = 60.0


class Closable(Protocol):
    def give_up(self) -> None:
        """Closes at once; unread bytes are lost."""
        ...


class Connection(Closable, Protocol):
    def check_timeouts(self, now: float) -> None:
        """Disconnects a client that is silent for too long."""
        ...

    def shutdown(self) -> None:
        """Shuts down: an idle connection closes at once, a busy one after its answer."""
        ...


C = TypeVar("C", bound=Connection)


class Connections(Generic[C]):
    """Keeps at most ``limit`` connections, and no more than the listener's share of open files allows.

    One timer checks the timeouts of all of them; it runs only while there are any.
    """

    def __init__(self, limit: int, files: FileShare | None = None) -> None:
        self.open: set[C] = set()
        self._leaving: set[C] = set()  # asked to shut down
        self._handshakes: dict[Closable, None] = {}  # the oldest first
        self._limit = limit
        self._files = files
        self._trimming = Trimming()
        self._closed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._warned_at = 0.0

    @property
    def handshakes(self) -> int:
        return len(self._handshakes)

    def begin_handshake(self, connection: Closable) -> bool:
        """Counts a connection that is not open yet, dropping the oldest such one if need be. False: there are too many;
        drop it.
        """
        handshakes = self._handshakes
        if handshakes and (len(handshakes) >= min(MOST_HANDSHAKES, self._limit) or self._full):
            oldest = next(iter(handshakes))
            self.end_handshake(oldest)
            oldest.give_up()
        if self._full:
            self._warn()
            return False
        handshakes[connection] = None
        self._take_file()
        return True

    def end_handshake(self, connection: Closable) -> None:
        """Stops counting a connection that is about to be added, or is closed. Idempotent."""
        if connection in self._handshakes:
            del self._handshakes[connection]
            self._give_file()

    def add(self, connection: C) -> bool:
        """Adds a connection. False: there are too many; drop it."""
        if self._full:
            self._warn()
            return False
        self.open.add(connection)
        self._take_file()
        if self._timer is None:
            self._arm()
        return True

    def discard(self, connection: C) -> None:
        if connection in self.open:
            self.open.remove(connection)
            self._give_file()
            self._trimming.closed()
        self._leaving.discard(connection)
        if self._closed is not None and not self._closed.done() and not self._leaving:
            self._closed.set_result(None)

    def shutdown(self) -> None:
        self._leaving = set(self.open)
        for connection in list(self.open):
            connection.shutdown()
        for handshake in list(self._handshakes):
            handshake.give_up()

    async def wait_left(self, grace_s: float) -> None:
        """Waits up to ``grace_s`` until the connections that `shutdown` found open have closed."""
        if self._leaving:
            self._closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._closed], timeout=grace_s)

    async def wait_closed(self, grace_s: float) -> None:
        """Waits like `wait_left`, then drops all connections that are still open."""
        await self.wait_left(grace_s)
        for connection in list(self.open):
            connection.give_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for connection in list(self.open):
            connection.check_timeouts(now)
        if self.open:
            self._arm()

    @property
    def _full(self) -> bool:
        if len(self.open) + len(self._handshakes) >= self._limit:
            return True
        return self._files is not None and not self._files.has_room

    def _take_file(self) -> None:
        if self._files is not None:
            self._files.take()

    def _give_file(self) -> None:
        if self._files is not None:
            self._files.give()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self.sweep)

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned_at > _WARN_EVERY_S:
            self._warned_at = now
            log.warning(
                "A listener has reached max_connections or the limit of open files: new connections are dropped"
            )
