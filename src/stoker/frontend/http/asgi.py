"""Runs the ASGI application, in a task of its own, for requests that are not predictions.

The application starts once the head has arrived, so that it can refuse a request before the body is sent.  It gets the
body in one message.

Invariant: a client that disconnects does not cancel the application, which may be in the middle of an operation; only
the end of a drain does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from stoker.core.buffer import Buffer
from stoker.errors import ServerStopping
from stoker.frontend.http.exchange import Carrier, HttpExchange


class AsgiCarrier(Carrier, Protocol):
    app: ASGIApp
    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None


class AsgiExchange(HttpExchange, kw_only=True):
    connection: AsgiCarrier
    _wakeup: asyncio.Future[None] | None = None
    _response: Message | None = None
    _body_taken: bool = False
    _task: asyncio.Task[None] | None = None

    def start_work(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def body_received(self, body: Buffer) -> None:
        self.request, self.whole = body, True
        self._wake()

    def _wake(self) -> None:
        """Wakes the application: the body is complete, or the exchange has ended."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def fail(self, error: Exception) -> None:
        task = self._task
        if not self.ended and task is not None and isinstance(error, ServerStopping):
            task.cancel()
        super().fail(error)

    def _end(self, status: int) -> bool:
        ended = super()._end(status)
        self._wake()
        return ended

    async def _run(self) -> None:
        try:
            await self.connection.app(self._scope(), self._receive, self._send)
            if not self.ended:
                raise RuntimeError("the application did not complete its answer")
        except Exception as error:
            self.fail(error)
        finally:
            self._task = None  # it refers to this exchange

    def _scope(self) -> dict[str, Any]:
        head, connection = self.head, self.connection
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.0" if head.http_1_0 else "1.1",
            "method": head.method.decode(),
            "scheme": connection.scheme,
            "path": unquote(head.path.decode("latin-1")),
            "raw_path": head.path,
            "query_string": head.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in head.headers],
            "client": connection.client,
            "server": connection.server,
        }

    async def _receive(self) -> Message:
        if self._body_taken or self.ended:
            await self._until(lambda: self.ended)
            return {"type": "http.disconnect"}
        self.connection.expects_body(self)
        await self._until(lambda: self.whole or self.ended)
        if not self.whole:
            return {"type": "http.disconnect"}
        self._body_taken = True
        body, self.request = bytes(self.request), b""
        return {"type": "http.request", "body": body, "more_body": False}

    async def _until(self, condition: Any) -> None:
        while not condition():
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup

    async def _send(self, message: Message) -> None:
        if self.ended:
            return
        if message["type"] == "http.response.start":
            self._response = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.started:
            self.write_parts([body])
        else:
            assert self._response is not None
            status = self._response["status"]
            headers = [item for item in self._response["headers"] if item[0].lower() != b"content-length"]
            if not more:
                self.respond_with(status, "", headers, body)
                return
            self.start(status, "", headers)
            self.write_parts([body])
        if not more:
            self.finish()
