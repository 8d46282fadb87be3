"""Runs thousands of clients that occupy a server's memory, in a process of its own: ``python -m benchmarks.crowd``.

Reads its plan as a line of JSON from standard input.  Prints one line of JSON once all are connected, and every second
how much has been sent; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import ngh2

from benchmarks.http1 import Post
from benchmarks.http2 import Call
from benchmarks.reconnecting import client_context
from stoker.bench.contender import Wire
from stoker.frontend.open_files import raise_limit

Behaviour = Literal["idle", "half", "unread"]
"""``idle``: one call each, answered, then nothing. ``half``: half of a request, as far as the server takes it.
``unread``: one call each, whose answer is never read: the HTTP/2 window of 64 KiB and a small TCP window keep it out of
the kernel's buffers."""

AT_ONCE = 50
"""Connections to open together."""
PAUSE_S = 0.02
SETTLE_S = 2.0
REPORT_S = 1.0
SMALL_BUFFER = 4096


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``body``: of the request, in base64; for gRPC with the five bytes of its frame."""

    endpoint: str
    wire: Wire
    path: str
    body: str
    behaviour: Behaviour
    clients: int

    @functools.cached_property
    def message(self) -> bytes:
        return base64.b64decode(self.body)

    def call(self) -> Call | Post:
        kind = Post if self.wire.startswith("http") else Call
        until = len(self.message) // 2 if self.behaviour == "half" else None
        return kind(self.path, self.message, until=until)


class Transport(Protocol):
    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def abort(self) -> None: ...


class Client:
    """One connection's call, which sends as fast as the server takes it."""

    def __init__(self, call: Call | Post, *, reads: bool) -> None:
        self.call = call
        self._reads = reads
        self._paused = False

    def opened(self, transport: Transport) -> None:
        self._transport = transport
        if self._reads:
            self._send()
        else:  # older Pythons begin to read after they call connection_made, whatever it paused
            asyncio.get_running_loop().call_soon(self._send_unread)

    def _send_unread(self) -> None:
        self._transport.pause_reading()
        self._send()

    def received(self, data: bytes) -> None:
        try:
            self.call.receive(data)
            self._send()
        except ngh2.NGH2Error:
            self._transport.abort()

    def writing(self, *, paused: bool) -> None:
        self._paused = paused
        self._send()

    def leave(self) -> None:
        self._transport.abort()

    def _send(self) -> None:
        while not self._paused and (data := self.call.to_send()):
            self._transport.write(data)


class Connection(asyncio.Protocol):
    """Carries a client over TCP, or over TLS if there is a ``context``. ``ready``: it may send.

    Reads no further than its client does: the TLS of asyncio would read 256 KiB ahead.
    """

    def __init__(self, client: Client, context: ssl.SSLContext | None) -> None:
        self._client = client
        self._context = context
        self._shaken = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._context is None:
            self._open(self._transport)
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        if self._context is None:
            self._client.received(data)
            return
        self._incoming.write(data)
        if not self._shaken:
            self._shake_hands()
        else:
            self._decrypt()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.writing(paused=True)
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError("closed by the server"))

    def pause_writing(self) -> None:
        self._client.writing(paused=True)

    def resume_writing(self) -> None:
        if self.ready.done():
            self._client.writing(paused=False)

    # ---------------------------------------------------------------- the transport that the client of TLS sees

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._transport.write(self._outgoing.read())

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def abort(self) -> None:
        self._transport.abort()

    # ------------------------------------------------------------------------------------------------- TLS

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            pass
        self._transport.write(self._outgoing.read())
        if self._shaken:
            self._open(self)

    def _open(self, transport: Transport) -> None:
        self.ready.set_result(None)
        self._client.opened(transport)

    def _decrypt(self) -> None:
        with suppress(ssl.SSLWantReadError):
            while data := self._tls.read(1 << 16):
                self._client.received(data)


async def gather(plan: Plan) -> list[Client]:
    """Connects all clients, a few at a time, as a backlog of connections allows."""
    host, _, port = plan.endpoint.rpartition(":")
    context = client_context() if plan.wire.endswith("s") else None
    clients: list[Client] = []
    while len(clients) < plan.clients:
        count = min(AT_ONCE, plan.clients - len(clients))
        clients += await asyncio.gather(*(connected(plan, context, host, int(port)) for _ in range(count)))
        await asyncio.sleep(PAUSE_S)
    return clients


async def connected(plan: Plan, context: ssl.SSLContext | None, host: str, port: int) -> Client:
    loop = asyncio.get_running_loop()
    client = Client(plan.call(), reads=plan.behaviour != "unread")
    plain = socket.socket()
    plain.setblocking(False)
    if plan.behaviour == "unread":
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    await loop.sock_connect(plain, (host, port))
    _, connection = await loop.create_connection(lambda: Connection(client, context), sock=plain)
    await connection.ready
    return client


def report(clients: list[Client]) -> dict[str, Any]:
    return {
        "answered": sum(client.call.answered for client in clients),
        "sent_mib": sum(client.call.sent for client in clients) / 2**20,
    }


async def hold(plan: Plan) -> None:
    """Connects the crowd, and reports until the standard input ends."""
    clients = await gather(plan)
    await asyncio.sleep(SETTLE_S)
    over = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    while not over.done():
        print(json.dumps(report(clients)), flush=True)
        await asyncio.wait([over], timeout=REPORT_S)


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    raise_limit()
    asyncio.run(hold(plan))


if __name__ == "__main__":
    main()
