"""Clients that want more than their share: calls, connections, frames, resets, headers.

The bounds on memory are wide: they tell bounded from unbounded.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from grpc_fakes import Ports
from h2_peer import (
    CONTINUATION,
    DATA,
    ENHANCE_YOUR_CALM,
    HEADERS,
    MIB,
    OK,
    PING,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    peer,
    serves,
)
from processes import resident_bytes
from waiting import until

from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer

pytestmark = pytest.mark.usefixtures("wire")


async def test_a_connection_over_the_limit_is_refused_and_others_are_served(ports: Ports) -> None:
    async with (
        ports.server(limits=Limits(connections=2)) as server,
        peer(server.port) as first,
        peer(server.port) as second,
    ):
        for client in (first, second):
            client.call(1, REQUEST)
            assert (await client.answer(1)).status == OK
        with suppress(ConnectionError):  # of the TLS handshake
            async with peer(server.port) as third:
                await third.until(lambda: third.closed)
        first.call(3, REQUEST)
        assert (await first.answer(3)).status == OK


async def test_a_client_that_ignores_the_announced_number_of_calls_is_cut_off(ports: Ports) -> None:
    ports.inference.on_submit = None
    async with ports.server(limits=Limits(calls=10)) as server, peer(server.port) as client:
        await client.until(lambda: 3 in client.settings)
        assert client.settings[3] == 10
        for id in range(1, 41, 2):
            client.call(id, REQUEST)
        await client.until(lambda: client.closed)
        await until(lambda: server.open_calls == 0)
        assert all(submission.cancelled for submission in ports.inference.submissions)
        assert len(ports.inference.submissions) <= 10


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS, 0, 0),
        frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")),
        frame(DATA, 0, 1),
        frame(HEADERS, 0x4, 999, b"\x00\x01a\x7f\xff\xff\xff\xff\x0f"),
        frame(11, 0, 0, b"unknown"),
    ],
    ids=["ping", "settings", "window update", "empty data", "bad headers", "unknown"],
)
@pytest.mark.parametrize("reading", [True, False], ids=["reads", "does not read"])
async def test_a_flood_ends_its_connection_or_costs_nothing(server: GrpcServer, flood: bytes, reading: bool) -> None:
    before = resident_bytes()
    async with peer(server.port) as client:
        client.send(client.headers(1))
        client.reading = reading
        for _ in range(60):
            client.send(flood * 1000)
            if reading:
                await asyncio.wait_for(client.drained(), 30)
            await asyncio.sleep(0)
            if client.closed:
                break
        assert await serves(server.port)
        assert resident_bytes() - before < 100 * MIB


async def test_a_client_that_pings_too_often_is_told_so_in_the_words_that_libraries_know(server: GrpcServer) -> None:
    """They ping half as often on their next connection."""
    async with peer(server.port) as client:
        for sent in range(100, 10_000, 100):
            client.send(frame(PING, 0, 0, bytes(8)) * 100)
            await client.until(lambda sent=sent: client.closed or client.pings == sent)  # type: ignore[misc]
            if client.closed:
                break
        assert (client.goaway, client.goaway_text) == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_a_rapid_reset_is_ended_and_a_neighbour_is_served(server: GrpcServer, ports: Ports) -> None:
    before = resident_bytes()
    async with peer(server.port) as client:
        id = 1
        while not client.closed and id < 20_000:
            for _ in range(100):
                client.send(client.headers(id), frame(RST_STREAM, 0, id, (8).to_bytes(4, "big")))
                id += 2
            await client.drained()
            await asyncio.sleep(0)
        assert await serves(server.port)
        await client.until(lambda: client.closed)
    assert resident_bytes() - before < 50 * MIB
    await until(lambda: server.open_calls == 0)


async def test_continuations_without_end_are_ended(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(frame(HEADERS, 0, 1, client.headers(1)[9:]))
        for _ in range(2000):
            client.send(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"))
        await client.until(lambda: client.closed or client.goaway is not None)
        assert await serves(server.port)


async def test_a_header_bomb_is_not_decoded_to_its_end(server: GrpcServer) -> None:
    before = resident_bytes()
    async with peer(server.port) as client:
        once = b"\x40\x01a" + b"\x7f" + bytes((0xA1, 0x1E)) + b"v" * 4000  # enters the table
        client.send(frame(HEADERS, 0, 1, once), frame(CONTINUATION, 0x4, 1, b"\xbe" * 16_000))
        await client.until(lambda: client.closed or client.goaway is not None)
    assert resident_bytes() - before < 50 * MIB
    assert await serves(server.port)
