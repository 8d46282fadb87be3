"""Engine ``nghttp2``: gRPC over libnghttp2 on the server's own loop, for every listener.

One `asyncio` protocol for each connection (`connection`), TLS by the loop, flow control and every limit ours.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stoker.config.address import Address
from stoker.frontend import sockets
from stoker.frontend.grpc.connection import Connection, configuration
from stoker.frontend.grpc.engine import Setup
from stoker.frontend.tls import listening_context

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

BACKLOG = 4096
_LOOK_S = 5.0
_SLOW_UNDER_PRESSURE_S = 5.0
_UNREAD_UNDER_PRESSURE_S = 1.0
_AGE_JITTER = 0.1
_HANDSHAKE_S = 10.0
"""Of TLS."""


class Nghttp2Engine:
    """Its connections read ``setup``, ``methods`` by path, and ``configuration``."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.methods = {method.path.encode(): method for method in setup.methods}
        self.configuration = configuration(setup.limits)
        self._connections: set[Connection] = set()
        self._socket: sockets.ListeningSocket | None = None
        self._server: asyncio.Server | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> int:
        """Listens, and returns the port (0 for a Unix socket).

        Raises:
            BindError
        """
        address = _address(self.setup.host, self.setup.port)
        self._socket = await sockets.listen(address, backlog=BACKLOG, name=self.setup.target)
        loop = asyncio.get_running_loop()
        listen = loop.create_unix_server if address.scheme == "unix" else loop.create_server
        tls = None if self.setup.tls is None else listening_context(self.setup.tls)
        try:
            self._server = await listen(
                lambda: Connection(self),
                sock=self._socket.socket,
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_S if tls is not None else None,
            )
        except BaseException:
            self._socket.close()
            raise
        return self._socket.address.port

    def start_draining(self) -> None:
        """Asks the clients of all connections to go elsewhere; listens on, for health checks."""
        for connection in list(self._connections):
            connection.drain()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        if self._look_timer is not None:
            self._look_timer.cancel()
        for connection in list(self._connections):
            connection.close()
        for _ in range(10):
            if not self._connections:
                break
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    # -------------------------------------------------------------------------------------- for connections

    @property
    def slow_s(self) -> float:
        """How long an unfinished request may send nothing; less while others wait for room."""
        slow_s = self.setup.limits.slow_s
        return slow_s if self.setup.requests.fits(1) else min(slow_s, _SLOW_UNDER_PRESSURE_S)

    def opened(self, connection: Connection) -> bool:
        """Counts a connection in; False: there are too many."""
        if len(self._connections) >= self.setup.limits.connections:
            _log.warning("A gRPC connection was refused: %d are open, the limit", len(self._connections))
            return False
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        if self._look_timer is None:
            self._look_timer = loop.call_later(_LOOK_S, self._look)
        age_s, grace_s = self.setup.connection_age
        if age_s is not None:
            spread = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - no secret
            loop.call_later(age_s * spread, connection.drain, grace_s)
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def run_in_thread(
        self, work: Callable[[], _Result], done: Callable[[_Result | None, BaseException | None], None]
    ) -> None:
        """Runs what would hold up the loop; ``done`` is called on the loop with the result or the error."""
        loop = asyncio.get_running_loop()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "stoker-inflate")

        def finished(future: Future[_Result]) -> None:
            error = future.exception()
            result = None if error is not None else future.result()
            loop.call_soon_threadsafe(done, result, error)

        self._threads.submit(work).add_done_callback(finished)

    def relieve(self) -> None:
        """The answers that clients have not read are over their budget: lets those go that hold most, for longest."""
        now = time.monotonic()
        held = [one for one in self._connections if one.unread and now - one.unread_since > _UNREAD_UNDER_PRESSURE_S]
        for connection in sorted(held, key=lambda one: one.unread, reverse=True):
            if self.setup.answers.room >= 0:
                return
            _log.warning(
                "%s: connection closed: it leaves %d bytes of answers unread", connection.peer, connection.unread
            )
            connection.abort()

    def _look(self) -> None:
        self._look_timer = None
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
        if self.setup.answers.room < 0:
            self.relieve()
        if self._connections:
            self._look_timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)


def _address(host: str, port: int) -> Address:
    if host.startswith("unix:"):
        return Address("unix", path=host.removeprefix("unix:"))
    return Address("http", host.strip("[]"), port)
