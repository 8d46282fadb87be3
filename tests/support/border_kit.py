"""A real border, and agents and workers that are only their connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from stoker.ipc import codec
from stoker.ipc.agent_messages import Arrived, FromAgent, Started, ToAgent, decode_to_agent
from stoker.ipc.dialing import Stream, dial
from stoker.ipc.frames import Decoder
from stoker.ipc.opening import Kind
from stoker.node.order import BorderAccess
from stoker.pool.remote.border import Border
from stoker.pool.remote.certificates import make_tls
from stoker.pool.remote.expected_worker import ExpectedWorker
from stoker.pool.remote.remote_process import RemoteProcess

NODE = "node-7 (10.0.0.7)"
TLS = make_tls()


@contextlib.asynccontextmanager
async def open_border(*, tls: bool = True, **options: Any) -> AsyncIterator[Border]:
    border = Border("127.0.0.1", tls=TLS if tls else None, **options)
    await border.start()
    try:
        yield border
    finally:
        await border.close()


def access_of(expected: ExpectedWorker) -> BorderAccess:
    access: BorderAccess = expected.order_fields["border"]
    return access


def token_of(expected: ExpectedWorker, kind: Kind) -> bytes:
    access = access_of(expected)
    return {Kind.AGENT: access.agent_token, Kind.WORKER: access.worker_token, Kind.FETCH: access.fetch_token}[kind]


async def connect(expected: ExpectedWorker, kind: Kind, **changes: Any) -> Stream:
    """Raises OSError where the border does not take it."""
    access = msgspec.structs.replace(access_of(expected), **changes)
    token = token_of(expected, kind) if "agent_token" not in changes else access.agent_token
    dialed = await asyncio.to_thread(
        dial, access.host, access.port, kind, token, ca=access.ca, tls_name=access.tls_name
    )
    return dialed.stream


class FakeAgent:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._decoder = Decoder()
        self._received: list[ToAgent] = []

    async def send(self, message: FromAgent, payload: bytes | None = None) -> None:
        data = b"".join(codec.encode(message, [] if payload is None else [payload]))
        await asyncio.to_thread(self.stream.sendall, data)

    async def receive(self, kind: type) -> Any:
        """Returns the next message of this kind."""
        while True:
            while self._received:
                message = self._received.pop(0)
                if isinstance(message, kind):
                    return message
            data = await asyncio.to_thread(self.stream.recv, 65536)
            assert data, "the server has closed"
            self._received += [decode_to_agent(frame.header) for frame in self._decoder.feed(data)]

    async def closed(self) -> None:
        """Waits until the server has closed the connection."""
        with contextlib.suppress(OSError):
            while await asyncio.to_thread(self.stream.recv, 65536):
                pass

    def close(self) -> None:
        self.stream.close()


@contextlib.asynccontextmanager
async def agent_of(expected: ExpectedWorker) -> AsyncIterator[FakeAgent]:
    agent = FakeAgent(await connect(expected, Kind.AGENT))
    try:
        await agent.send(Arrived(NODE))
        yield agent
    finally:
        agent.close()


@contextlib.asynccontextmanager
async def remote_process(border: Border) -> AsyncIterator[tuple[RemoteProcess, FakeAgent, Stream]]:
    """Yields a process, its agent and the worker's end of its connection."""
    expected = border.expect("W-9000-m_1.0")
    waiting = asyncio.ensure_future(expected.process())
    async with agent_of(expected) as agent:
        await agent.send(Started(4711))
        worker = await connect(expected, Kind.WORKER)
        process = await waiting
        try:
            yield process, agent, worker
        finally:
            worker.close()
            process.close()
