"""Clients that mean harm, against a real listener: what they cost is bounded, and their neighbours are answered."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import wire
from grpc_fakes import Submission
from http_fakes import (
    PING,
    POST,
    PREDICT,
    HttpPorts,
    Running,
    client_of,
    connections,
    echo,
    held,
    neighbour_is_answered,
    running,
)
from processes import resident_bytes
from waiting import until

from stoker.core.reply import Chunk
from stoker.frontend.listener import Budgets, Limits

pytestmark = pytest.mark.usefixtures("wire")

MIB = 1 << 20
MOST_MEMORY = 96 * MIB
"""What an attack of this file may cost, generously: each would take several times as much without its limit."""


class Attacker:
    """A socket with small buffers, which sends as much as the server takes and reads nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0

    @classmethod
    async def of(cls, port: int) -> Attacker:
        def connected() -> socket.socket:
            sock, context = socket.socket(), wire.client_context()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            sock.connect((wire.HOST, port))
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=wire.HOST)
            sock.setblocking(False)
            return sock

        return cls(await asyncio.to_thread(connected))

    async def send(self, data: bytes, *, at_most: int) -> None:
        """Repeats ``data`` until ``at_most`` bytes are sent or the server has taken none for a while."""
        stuck = 0
        block = data * max(1, (64 << 10) // len(data))
        while self.sent < at_most and stuck < 50:
            try:
                self.sent += self.sock.send(block[self.sent % len(data) :])
                stuck = 0
            except (BlockingIOError, ssl.SSLWantWriteError):
                stuck += 1
            except ConnectionError:
                return
            await asyncio.sleep(0.002 if stuck else 0)


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(HttpPorts()) as it:
        yield it


@pytest.mark.parametrize("request_", [PING, PREDICT, PREDICT.replace(b"GET", b"HEAD")], ids=["asgi", "predict", "head"])
async def test_who_pipelines_and_reads_nothing_is_not_read_any_further(server: Running, request_: bytes) -> None:
    server.inference.on_submit = echo
    before = resident_bytes()
    attacker = await Attacker.of(server.listener.port)
    await attacker.send(request_, at_most=64 * MIB)
    assert attacker.sent < 32 * MIB, "the server takes request after request"
    await neighbour_is_answered(server)
    assert held(server.listener) < MIB
    assert resident_bytes() - before < MOST_MEMORY
    attacker.sock.close()
    await until(lambda: len(connections(server.listener)) <= 1)
    await neighbour_is_answered(server)


async def test_who_pipelines_while_a_worker_works_is_not_read_any_further(server: Running) -> None:
    attacker = await Attacker.of(server.listener.port)
    await attacker.send(PREDICT, at_most=16 * MIB)
    assert attacker.sent < 8 * MIB
    assert len(server.inference.submissions) == 1
    assert held(server.listener) < MIB
    await neighbour_is_answered(server)
    attacker.sock.close()


async def test_large_answers_that_nobody_reads_cost_no_more_than_the_budget() -> None:
    """Those that leave most unread are disconnected, and no more of them than it takes."""
    ports = HttpPorts(budgets=Budgets(unread=24 * MIB))
    answer = bytes(12 * MIB)
    ports.inference.on_submit = lambda submission: submission.answer(answer)
    async with running(ports) as server:
        attackers = [await Attacker.of(server.listener.port) for _ in range(8)]
        for attacker in attackers:
            attacker.sock.send(PREDICT)
        await until(lambda: len(ports.inference.submissions) == 8)
        await until(lambda: held(server.listener) <= 24 * MIB)
        await neighbour_is_answered(server)
        assert 2 <= len(connections(server.listener)) < 8
        for attacker in attackers:
            attacker.sock.close()
        await until(lambda: ports.budgets.unread.total == 0)


async def test_an_answer_counts_whole_until_its_client_has_read_it() -> None:
    """A transport keeps the whole of what it has begun to send, and the kernel takes megabytes of it at once."""
    ports = HttpPorts()
    ports.inference.on_submit = lambda submission: submission.answer(bytes(24 * MIB))
    async with running(ports) as server:
        reader, writer = await server.connect()
        writer.write(PREDICT)
        await until(lambda: ports.budgets.unread.total > 24 * MIB)
        await reader.readexactly(8 * MIB)
        for connection in connections(server.listener):
            connection.check_timeouts(connection._quiet_since)
        assert ports.budgets.unread.total > 24 * MIB
        while ports.budgets.unread.total:
            await reader.read(MIB)


async def test_a_stream_that_nobody_reads_is_read_from_its_worker_no_further(server: Running) -> None:
    parts: list[Submission] = []

    def begin(submission: Submission) -> None:
        parts.append(submission)
        for _ in range(400):
            submission.reply.push(Chunk(bytes(100_000)), last=False)

    server.inference.on_submit = begin
    attacker = await Attacker.of(server.listener.port)
    attacker.sock.send(PREDICT)
    await until(lambda: bool(parts))
    await neighbour_is_answered(server)
    assert held(server.listener) < MIB
    attacker.sock.close()
    await until(lambda: parts[0].cancelled)


async def test_a_head_that_trickles_is_let_go_however_steadily_it_comes() -> None:
    async with HttpPorts().listener(limits=Limits(head_s=30.0)) as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(b"GET /ping HTTP/1.1\r\n")
        await until(lambda: len(connections(listener)) == 1 and bool(connections(listener)[0]._rest))
        (connection,) = connections(listener)
        begun = connection._begun
        writer.write(b"x: y\r\n")
        await until(lambda: b"x: y" in connection._rest)
        connection.check_timeouts(begun + 29)
        assert not connection._transport.is_closing()
        connection.check_timeouts(begun + 31)
        assert await reader.read() == b""
        writer.close()


async def test_a_body_that_trickles_is_let_go_however_steadily_it_comes() -> None:
    async with HttpPorts().listener(limits=Limits(slow_s=60.0)) as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(POST + b"content-length: 90000\r\n\r\nabc")
        await until(lambda: len(connections(listener)) == 1 and connections(listener)[0]._exchange is not None)
        (connection,) = connections(listener)
        connection._quiet_since = connection._begun + 61  # something came just now
        connection.check_timeouts(connection._begun + 62)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("wire", ["tcp"], indirect=True)
async def test_two_thousand_idle_connections_cost_little_and_one_more_than_the_limit_is_dropped() -> None:
    ports = HttpPorts()
    async with ports.listener(limits=Limits(connections=2000)) as listener, client_of(str(listener.address)) as client:
        before = resident_bytes()
        idle = []
        for _ in range(2000):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", listener.port))
            idle.append(sock)
            await asyncio.sleep(0)
        await until(lambda: len(connections(listener)) == 2000)
        assert resident_bytes() - before < MOST_MEMORY
        _, writer = await wire.connect(listener.port)
        writer.write(PING)
        with pytest.raises(OSError):
            for _ in range(1000):
                await writer.drain()
                writer.write(PING)
                await asyncio.sleep(0.001)
        writer.close()
        for sock in idle:
            sock.close()
        await until(lambda: len(connections(listener)) == 0)
        assert (await client.get("/ping")).status_code == 200


async def test_a_reader_below_the_floor_is_ended_though_it_reads() -> None:
    ports = HttpPorts()
    async with ports.listener(stall_s=0.2, min_bytes_per_s=1 << 30) as listener:
        reader, writer = await wire.connect(listener.port, limit=1 << 10)
        writer.write(PREDICT)
        submission = await ports.inference.submitted()
        for _ in range(400):
            submission.reply.push(Chunk(bytes(100_000)), last=False)
        received = 0
        while data := await reader.read(10_000):
            received += len(data)
            await asyncio.sleep(0.001)
        assert submission.cancelled
        assert 0 < received < 40_000_000
        writer.close()
