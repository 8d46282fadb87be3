"""Requests that are not whole hold no more than the budget of the listener; the others wait for room or are refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import wire
from http_fakes import LIMIT, PING, POST, PREDICT, HttpPorts, connections, echo, held, neighbour_is_answered, running
from waiting import until

from stoker.frontend.budget import Share
from stoker.frontend.listener import Budgets, Limits

pytestmark = pytest.mark.usefixtures("wire")


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
