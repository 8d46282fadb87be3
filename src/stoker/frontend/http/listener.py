"""One HTTP listener: its address, its connections, the exchanges on them, and its drain."""

from __future__ import annotations

import asyncio
import ssl
import time

from stoker.config.address import Address
from stoker.frontend.http import heads
from stoker.frontend.http.app import App
from stoker.frontend.http.exchange import AnswerOf, AnswerStyle
from stoker.frontend.http.predictions import answers_of_errors
from stoker.frontend.http.protocol import HttpConnection
from stoker.frontend.http.site import Predictor, Site
from stoker.frontend.listener import Budgets, Limits, Listener, flush_time
from stoker.frontend.open_exchanges import OpenExchanges


class HttpListener:
    """Listens between ``__aenter__`` and ``__aexit__``.

    ``tls``: only for an https address.  ``headers``: added to every answer (CORS).  ``predictor``: takes requests that
    need not go through ``app``.

    Entering raises `BindError` if the address is unavailable.  Leaving ends the exchanges that `drain` did not wait
    for.
    """

    def __init__(
        self,
        *,
        address: Address,
        app: App,
        exchanges: OpenExchanges,
        predictor: Predictor | None = None,
        answer_of: AnswerOf | None = None,
        headers: heads.Headers = (),
        tls: ssl.SSLContext | None = None,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        budgets: Budgets | None = None,
        other_port_hint: str = "",
    ) -> None:
        budgets = budgets or Budgets()
        self._exchanges = exchanges
        self._connections = budgets.connections(limits.connections)
        site = Site(
            app=app,
            predictor=predictor,
            exchanges=self._exchanges,
            style=AnswerStyle.of(answer_of or answers_of_errors(503), headers),
            connections=self._connections,
            budgets=budgets,
            limits=limits,
            scheme="https" if address.scheme == "https" else "http",
            other_port_hint=other_port_hint,
        )
        self._listener = Listener(
            address=address,
            connect=lambda: HttpConnection(site),
            connections=self._connections,
            tls=tls,
            handshake_s=limits.handshake_s,
        )

    @property
    def address(self) -> Address:
        """Returns its address, with the bound port even if 0 was requested."""
        return self._listener.address

    @property
    def port(self) -> int:
        """Returns the port; 0 for a Unix socket."""
        return self.address.port

    async def __aenter__(self) -> HttpListener:
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain(0.0)

    async def drain(self, grace_s: float) -> None:
        """Stops accepting, waits ``grace_s`` for open requests, then ends the others with an answer. Idempotent."""
        began = time.monotonic()
        self._listener.close()
        await asyncio.sleep(0)  # by now, what was accepted in this turn is a connection
        self._connections.shutdown()  # an idle one closes now, a busy one after its answer
        await self._exchanges.drain(grace_s)
        await self._connections.wait_closed(flush_time(grace_s, began))
