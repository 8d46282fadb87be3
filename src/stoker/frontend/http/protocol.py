"""One HTTP/1.1 connection: uvicorn's protocol on httptools, with errors in TorchServe's spelling."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class Connections(ServerState):
    """What a listener's connections share. ``closed`` is set, by who waits for it, to hear when none is left."""

    closed: asyncio.Future[None] | None = None


class HttpProtocol(HttpToolsProtocol):
    server_state: Connections

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        closed = self.server_state.closed
        if closed is not None and not closed.done() and not self.server_state.connections:
            closed.set_result(None)
