"""Clients that mean harm, against a real listener: what they cost is bounded, and their neighbours are answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
import wire
from grpc_fakes import Submission, until
from http_fakes import LIMIT, HttpPorts, Running, client_of, echo, running

from stoker.config.address import Address
from stoker.core.reply import Chunk
from stoker.frontend.budget import Share
from stoker.frontend.http.listener import HttpListener
from stoker.frontend.http.protocol import HttpConnection
from stoker.frontend.listener import Budgets, Limits

pytestmark = pytest.mark.usefixtures("wire")

PING = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"
PREDICT = b"GET /predictions/m HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\n"
MIB = 1 << 20
MOST_MEMORY = 96 * MIB
"""What an attack of this file may cost, generously: each would take several times as much without its limit."""


def memory() -> int:
    """Resident bytes of this process, which is server and client at once."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


async def neighbour_is_answered(server: Running) -> None:
    assert (await server.client.get("/ping")).status_code == 200


def connections(listener: HttpListener) -> list[HttpConnection]:
    return [one for one in listener._connections.open if isinstance(one, HttpConnection)]


def held(listener: HttpListener) -> int:
    """Bytes that the connections hold, received or to be written."""
    return sum(len(one._rest) + one._transport.get_write_buffer_size() for one in connections(listener))


@pytest.mark.parametrize("request_", [PING, PREDICT, PREDICT.replace(b"GET", b"HEAD")], ids=["asgi", "predict", "head"])
async def test_who_pipelines_and_reads_nothing_is_not_read_any_further(server: Running, request_: bytes) -> None:
    server.inference.on_submit = echo
    before = memory()
    attacker = await Attacker.of(server.listener.port)
    await attacker.send(request_, at_most=64 * MIB)
    assert attacker.sent < 32 * MIB, "the server takes request after request"
    await neighbour_is_answered(server)
    assert held(server.listener) < MIB
    assert memory() - before < MOST_MEMORY
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


async def test_half_said_requests_hold_no_more_than_the_budget_and_the_others_wait_for_their_turn() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=280_000))
    ports.inference.on_submit = echo
    async with running(ports) as server:
        streams = [await server.connect() for _ in range(4)]
        for _, writer in streams:
            writer.write(POST + b"content-length: 90000\r\n\r\n" + bytes(20_000))
        await until(lambda: len([one for one in connections(server.listener) if one._waits_for_room]) == 2)
        assert 180_000 < ports.budgets.unparsed.reserved.taken <= 210_000
        assert ports.budgets.unparsed.unreserved.taken <= 40_000
        await neighbour_is_answered(server)
        small = await server.client.post("/predictions/m", content=b"small")
        assert small.text == "small", "what comes in one piece needs no room"
        for _, writer in streams:
            writer.write(bytes(70_000))
        for reader, _ in streams:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(90_000)
        assert ports.budgets.unparsed.taken == 0


async def test_what_waiting_requests_sent_ahead_has_its_share_of_the_budget_and_the_rest_are_refused() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=200_000))
    async with running(ports) as server:
        streams = [await server.connect() for _ in range(8)]
        for _, writer in streams:
            writer.write(POST + b"content-length: 90000\r\n\r\n" + bytes(20_000))
        refused = 8 - 1 - 2  # one is received, two wait with 20,000 bytes each
        answers = [asyncio.ensure_future(reader.readuntil(b"\r\n\r\n")) for reader, _ in streams]
        await until(lambda: sum(answer.done() for answer in answers) == refused)
        assert all(answer.result().startswith(b"HTTP/1.1 503 ") for answer in answers if answer.done())
        assert ports.budgets.unparsed.taken <= 200_000
        await neighbour_is_answered(server)
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.gather(*answers, return_exceptions=True)
        await until(lambda: ports.budgets.unparsed.taken == 0)


async def test_what_arrives_while_a_request_waits_is_counted_and_refused_without_room() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=200_000))
    async with running(ports) as server:
        streams = [await server.connect() for _ in range(8)]
        for _, writer in streams:
            writer.write(POST + b"content-length: 90000\r\n\r\n")
        await until(lambda: len([one for one in connections(server.listener) if one._waits_for_room]) == 7)
        for _, writer in streams:
            writer.write(bytes(20_000))
        answers = [asyncio.ensure_future(reader.readuntil(b"\r\n\r\n")) for reader, _ in streams]
        await until(lambda: sum(answer.done() for answer in answers) == 8 - 1 - 2)
        assert all(answer.result().startswith(b"HTTP/1.1 503 ") for answer in answers if answer.done())
        assert ports.budgets.unparsed.unreserved.taken >= 2 * (16 << 10)
        assert ports.budgets.unparsed.taken <= 200_000
        await neighbour_is_answered(server)
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.gather(*answers, return_exceptions=True)
        await until(lambda: ports.budgets.unparsed.taken == 0)


async def test_what_a_client_sends_that_does_not_read_is_counted_until_it_reads() -> None:
    ports = HttpPorts()
    async with running(ports) as server:
        reader, writer = await server.connect()
        writer.write(PING)
        await reader.readuntil(b"}\n")
        (connection,) = connections(server.listener)
        connection.pause_writing()
        writer.write(PING * 1000)
        await until(lambda: ports.budgets.unparsed.taken > 16 << 10)
        assert ports.budgets.unparsed.reserved.taken >= len(connection._rest)
        connection.resume_writing()
        for _ in range(1000):
            await reader.readuntil(b"}\n")
        assert ports.budgets.unparsed.taken == 0
        writer.close()


async def test_a_client_that_does_not_read_is_closed_if_what_it_sends_finds_no_room() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=40_000))
    async with running(ports) as server:
        reader, writer = await server.connect()
        writer.write(PING)
        await reader.readuntil(b"}\n")
        (connection,) = connections(server.listener)
        elsewhere = Share(ports.budgets.unparsed)
        elsewhere.hold(30_000)
        elsewhere.hold(10)
        connection.pause_writing()
        writer.write(PING * 1000)
        await until(lambda: connection._discarding)
        assert not connection._rest
        connection.resume_writing()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        elsewhere.give_back()
        await until(lambda: ports.budgets.unparsed.taken == 0)
        writer.transport.abort()


async def test_a_silent_request_is_let_go_sooner_while_others_wait_for_its_room() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=200_000))
    async with ports.listener(limits=Limits(slow_s=60.0)) as listener:
        streams = []
        for count in (1, 2):
            streams.append(await wire.connect(listener.port))
            streams[-1][1].write(POST + b"content-length: 90000\r\n\r\n")
            await until(lambda count=count: len([one for one in connections(listener) if one._exchange]) == count)  # type: ignore[misc]
        (first,) = [one for one in connections(listener) if not one._waits_for_room]
        first.check_timeouts(first._quiet_since + 4)
        assert not first._transport.is_closing()
        first.check_timeouts(first._quiet_since + 6)
        assert first._transport.is_closing()
        await until(lambda: not any(one._waits_for_room for one in connections(listener)))
        for _, writer in streams:
            writer.transport.abort()


async def test_what_is_pipelined_beyond_the_budget_is_not_kept_and_the_running_request_answered() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=100_000))
    async with running(ports) as server:
        _, other = await server.connect()
        other.write(POST + b"content-length: 90000\r\n\r\n" + bytes(100))
        await until(lambda: ports.budgets.unparsed.taken >= 90_000)
        elsewhere = Share(ports.budgets.unparsed)
        elsewhere.hold(10)
        reader, writer = await server.connect()
        writer.write(PREDICT * 1000)
        submission = await ports.inference.submitted()
        await until(lambda: held(server.listener) < 1000)
        submission.answer(b"done")
        answer = await reader.readuntil(b"done")
        assert b"\r\nconnection: close\r\n" in answer
        other.transport.abort()
        writer.transport.abort()
        elsewhere.give_back()
        await until(lambda: ports.budgets.unparsed.taken == 0)


async def test_large_heads_that_are_not_whole_share_the_budget() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=180_000))
    async with running(ports) as server:
        streams = [await server.connect() for _ in range(3)]
        for _, writer in streams:
            writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 20_000)
        await until(lambda: len([one for one in connections(server.listener) if one._waits_for_room]) == 2)
        assert ports.budgets.unparsed.reserved.taken == Limits().head_bytes * 9 // 8
        await neighbour_is_answered(server)
        for _, writer in streams:
            writer.write(b"\r\n\r\n")
        for reader, _ in streams:
            assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 200 ")
        assert ports.budgets.unparsed.taken == 0


async def test_a_large_head_gives_its_room_back_before_its_body_takes_some() -> None:
    ports = HttpPorts()
    async with running(ports) as server:
        _, writer = await server.connect()
        writer.write(POST + b"content-length: 90000\r\nlong: " + b"y" * 20_000)
        await until(lambda: ports.budgets.unparsed.taken == (64 << 10) * 9 // 8)
        writer.write(b"\r\n\r\n")
        await until(lambda: ports.budgets.unparsed.taken == 90_000 * 9 // 8)
        writer.transport.abort()
        await until(lambda: ports.budgets.unparsed.taken == 0)


async def test_a_body_that_is_refused_gives_its_room_back_while_the_client_stays() -> None:
    ports = HttpPorts()
    async with running(ports) as server:
        reader, writer = await server.connect()
        writer.write(POST + b"transfer-encoding: chunked\r\n\r\n")
        await until(lambda: ports.budgets.unparsed.taken == LIMIT * 9 // 8)
        writer.write(b"no chunk\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert ports.budgets.unparsed.taken == 0
        writer.close()


async def test_a_client_that_leaves_in_the_middle_of_its_body_gives_its_room_back() -> None:
    ports = HttpPorts(budgets=Budgets(unparsed=100_000))
    async with running(ports) as server:
        _, first = await server.connect()
        first.write(POST + b"content-length: 90000\r\n\r\n" + bytes(100))
        await until(lambda: ports.budgets.unparsed.taken >= 90_000)
        _, second = await server.connect()
        second.write(POST + b"transfer-encoding: chunked\r\n\r\n")
        await until(lambda: ports.budgets.unparsed.short)
        first.transport.abort()
        await until(lambda: ports.budgets.unparsed.taken == LIMIT * 9 // 8)
        second.transport.abort()
        await until(lambda: ports.budgets.unparsed.taken == 0)
        ports.inference.on_submit = echo
        assert (await server.client.post("/predictions/m", content=bytes(95_000))).content == bytes(95_000)


@pytest.mark.parametrize("wire", ["tcp"], indirect=True)
async def test_two_thousand_idle_connections_cost_little_and_one_more_than_the_limit_is_dropped() -> None:
    ports = HttpPorts()
    async with ports.listener(limits=Limits(connections=2000)) as listener, client_of(str(listener.address)) as client:
        before = memory()
        idle = []
        for _ in range(2000):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", listener.port))
            idle.append(sock)
            await asyncio.sleep(0)
        await until(lambda: listener.open_connections == 2000)
        assert memory() - before < MOST_MEMORY
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
        await until(lambda: listener.open_connections == 0)
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


# ------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("wire", ["tcp"], indirect=True)
async def test_an_idle_tls_connection_does_not_hold_a_stop(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Its client does not look at the socket, so it never says that it has heard of the end."""
    server, client = tls
    async with HttpPorts().listener(Address("https", "127.0.0.1", 0), tls=server) as listener:

        def ask() -> ssl.SSLSocket:
            sock = client.wrap_socket(
                socket.create_connection(("127.0.0.1", listener.port)), server_hostname="127.0.0.1"
            )
            sock.send(PING)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
            return sock

        sock = await asyncio.to_thread(ask)
        stop = asyncio.ensure_future(listener.drain(3600.0))
        await until(stop.done)
        assert listener.open_connections == 0
        sock.close()
