"""Engine ``nghttp2``: gRPC over libnghttp2 on the server's own loop, for every listener.

One `asyncio` protocol for each connection (`connection`), TLS by the loop, flow control and every limit ours.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stoker.config.address import Address
from stoker.frontend import sockets
from stoker.frontend.budget import ByteBudget
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.connection import Connection, configuration
from stoker.frontend.grpc.engine import ConnectionAge, target
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.frontend.tls import Tls, listening_context

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
    """``request_budget``: bytes of unfinished requests; ``answer_budget``: of answers that clients have not read."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        methods: Sequence[Method],
        open_calls: OpenExchanges,
        max_message_bytes: int,
        tls: Tls | None = None,
        connection_age: ConnectionAge = ConnectionAge(),  # noqa: B008 - immutable
        limits: Limits = Limits(),  # noqa: B008 - immutable
        stall_s: float = 30.0,
        request_budget: ByteBudget | None = None,
        answer_budget: ByteBudget | None = None,
        rest_address: str = "",
    ) -> None:
        self._host, self._port = host, port
        self._address = _address(host, port)
        self.methods = {method.path.encode(): method for method in methods}
        self.open_calls = open_calls
        self.max_message_bytes = max_message_bytes
        self.limits = limits
        self.stall_s = stall_s
        default_budget = max(256 << 20, 4 * max_message_bytes)
        self.request_budget = request_budget or ByteBudget(default_budget)
        self.answer_budget = answer_budget or ByteBudget(default_budget)
        self.configuration = configuration(limits)
        self.rest_hint = f" REST is served on {rest_address}." if rest_address else ""
        self._tls = tls
        self._age = connection_age
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
        self._socket = await sockets.listen(self._address, backlog=BACKLOG, name=target(self._host, self._port))
        loop = asyncio.get_running_loop()
        listen = loop.create_unix_server if self._address.scheme == "unix" else loop.create_server
        tls = None if self._tls is None else listening_context(self._tls)
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
        if self.request_budget.fits(1):
            return self.limits.slow_s
        return min(self.limits.slow_s, _SLOW_UNDER_PRESSURE_S)

    def opened(self, connection: Connection) -> bool:
        """Counts a connection in; False: there are too many."""
        if len(self._connections) >= self.limits.connections:
            _log.warning("A gRPC connection was refused: %d are open, the limit", len(self._connections))
            return False
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        if self._look_timer is None:
            self._look_timer = loop.call_later(_LOOK_S, self._look)
        if self._age.age_s is not None:
            spread = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - no secret
            loop.call_later(self._age.age_s * spread, connection.drain, self._age.grace_s)
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

    def _look(self) -> None:
        self._look_timer = None
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
        if self._connections:
            self._look_timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)


def _address(host: str, port: int) -> Address:
    if host.startswith("unix:"):
        return Address("unix", path=host.removeprefix("unix:"))
    return Address("http", host.strip("[]"), port)
