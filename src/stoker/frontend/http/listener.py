"""One HTTP listener: a socket, the connections that are open on it, and its drain.

uvicorn's protocol speaks HTTP/1.1 in the server's own loop; there is no uvicorn server, hence no signal handler and
no second loop.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType

from starlette.types import ASGIApp
from uvicorn.config import Config

from stoker.config.address import Address
from stoker.frontend.http import sockets
from stoker.frontend.http.protocol import Connections, HttpProtocol

_BACKLOG = 4096
_KEEP_ALIVE_S = 600


class HttpListener:
    """Listens between ``__aenter__`` and ``__aexit__``. ``tls``: only for an https address.

    Entering raises `BindError` when the address cannot be had.  Leaving gives up what `drain` has not waited for.
    """

    def __init__(self, *, address: Address, app: ASGIApp, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._tls = tls
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
        self._state = Connections()
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
        return HttpProtocol(self._config, self._state, {})

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
            connection.transport.close()
