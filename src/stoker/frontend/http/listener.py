"""One HTTP listener: a socket, the connections that are open on it, and its drain.

uvicorn's protocol speaks HTTP/1.1 in the server's own loop; there is no uvicorn server, hence no signal handler and
no second loop.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from types import TracebackType

from uvicorn.config import Config

from stoker.config.address import Address
from stoker.frontend.http import sockets
from stoker.frontend.http.app import App
from stoker.frontend.http.protocol import Connections, HttpProtocol

_BACKLOG = 4096
_KEEP_ALIVE_S = 600
_SWEEP_S = 5.0


class HttpListener:
    """Listens between ``__aenter__`` and ``__aexit__``. ``tls``: only for an https address. ``slow_s``: how long a
    client may neither send the rest of a request nor read what it is sent.

    Entering raises `BindError` when the address cannot be had.  Leaving gives up what `drain` has not waited for.
    """

    def __init__(self, *, address: Address, app: App, tls: ssl.SSLContext | None = None, slow_s: float = 60.0) -> None:
        self._address = address
        self._tls = tls
        self._slow_s = slow_s
        self._config = Config(
            app=app,
            http=HttpProtocol,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        self._state = Connections(
            records=app.records,
            predictor=app.predictor,
            max_request_size=app.max_request_size,
            headers=app.headers,
        )
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._socket: sockets.ListeningSocket | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Where it listens; with the port that is bound, also when 0 was asked for."""
        return self._socket.address if self._socket is not None else self._address

    @property
    def port(self) -> int:
        """0 for a Unix socket."""
        return self.address.port

    @property
    def open_connections(self) -> int:
        return len(self._state.connections)

    async def __aenter__(self) -> HttpListener:
        self._config.load()
        self._socket = await sockets.listen(self._address, backlog=_BACKLOG)
        loop = asyncio.get_running_loop()
        kind = loop.create_unix_server if self._address.scheme == "unix" else loop.create_server
        try:
            self._server = await kind(self._protocol, sock=self._socket.socket, ssl=self._tls, backlog=_BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(0.0)

    def _protocol(self) -> HttpProtocol:
        if self._sweep_timer is None:
            self._arm_sweep()
        return HttpProtocol(self._config, self._state)

    async def drain(self, grace_s: float) -> None:
        """Accepts nothing from now on, lets open requests end within ``grace_s``, then cuts the rest. Idempotent."""
        if self._server is None or self._socket is None:
            return
        self._server.close()
        self._socket.close()
        for connection in list(self._state.connections):
            connection.shutdown()  # an idle one closes now, a busy one after its answer
        await self._wait_closed(grace_s)
        await self._cut()

    async def _wait_closed(self, grace_s: float) -> None:
        if self._state.connections and grace_s > 0:
            self._state.closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._state.closed], timeout=grace_s)

    async def _cut(self) -> None:
        """Requests that are still open are answered that the server stops, if nothing was answered yet."""
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        for connection in list(self._state.connections):
            connection.stop()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    def _arm_sweep(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """One timer for all connections instead of one for each request; none while there is no connection."""
        self._sweep_timer = None
        now = time.monotonic()
        for connection in list(self._state.connections):
            connection.look(now, idle_s=_KEEP_ALIVE_S, slow_s=self._slow_s)
        if self._state.connections:
            self._arm_sweep()
