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
import sys
from dataclasses import dataclass
from typing import Any, Literal

import ngh2

from benchmarks.http2 import Call
from stoker.frontend.open_files import raise_limit

Behaviour = Literal["idle", "half", "unread"]
"""``idle``: one call each, answered, then nothing. ``half``: half of a request, as far as the server takes it.
``unread``: one call each, whose answer is never read: the window of 64 KiB keeps it out of the kernel's buffers."""

AT_ONCE = 50
"""Connections to open together."""
PAUSE_S = 0.02
SETTLE_S = 2.0
REPORT_S = 1.0
SMALL_BUFFER = 4096


@dataclass(frozen=True, kw_only=True)
class Plan:
    endpoint: str
    path: str
    body: str
    behaviour: Behaviour
    clients: int

    @functools.cached_property
    def message(self) -> bytes:
        return base64.b64decode(self.body)

    def call(self) -> Call:
        body = self.message
        if self.behaviour == "half":
            return Call(self.path, body, until=len(body) // 2)
        return Call(self.path, body)


class Client(asyncio.Protocol):
    def __init__(self, call: Call, *, reads: bool) -> None:
        self.call = call
        self._reads = reads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._reads:
            transport.pause_reading()
        transport.write(self.call.to_send())

    def data_received(self, data: bytes) -> None:
        try:
            self.call.receive(data)
            self._transport.write(self.call.to_send())
        except ngh2.NGH2Error:
            self._transport.abort()


async def gather(plan: Plan) -> list[Client]:
    """Connects all clients, a few at a time, as a backlog of connections allows."""
    host, _, port = plan.endpoint.rpartition(":")
    clients: list[Client] = []
    while len(clients) < plan.clients:
        count = min(AT_ONCE, plan.clients - len(clients))
        clients += await asyncio.gather(*(connected(plan, host, int(port)) for _ in range(count)))
        await asyncio.sleep(PAUSE_S)
    return clients


async def connected(plan: Plan, host: str, port: int) -> Client:
    loop = asyncio.get_running_loop()
    client = Client(plan.call(), reads=plan.behaviour != "unread")
    plain = socket.socket()
    plain.setblocking(False)
    if plan.behaviour == "unread":
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    await loop.sock_connect(plain, (host, port))
    await loop.create_connection(lambda: client, sock=plain)
    return client


def report(clients: list[Client]) -> dict[str, Any]:
    return {
        "answered": sum(client.call.status == b"0" for client in clients),
        "sent_mib": sum(client.call.sent for client in clients) / 2**20,
    }


async def stand(plan: Plan) -> None:
    clients = await gather(plan)
    await asyncio.sleep(SETTLE_S)
    over = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    while not over.done():
        print(json.dumps(report(clients)), flush=True)
        await asyncio.wait([over], timeout=REPORT_S)


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    raise_limit()
    asyncio.run(stand(plan))


if __name__ == "__main__":
    main()
