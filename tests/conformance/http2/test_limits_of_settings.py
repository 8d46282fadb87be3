"""Each limit that a setting has, as a listener keeps it: what is allowed passes, and one more does not."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from grpc_fakes import Ports
from h2_peer import (
    BIG,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    MIB,
    OK,
    PING,
    PRIORITY,
    REQUEST,
    RESOURCE_EXHAUSTED,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Answer,
    Peer,
    frame,
    message,
    peer,
    serves,
)
from waiting import until

from stoker.config.load import Given, load_file
from stoker.errors import ConfigurationError
from stoker.frontend.grpc.limits import Limits
from stoker.server_options import grpc_limits

pytestmark = pytest.mark.usefixtures("wire")

OPEN = frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big"))
CONTROL = {"ping": frame(PING, 0, 0, bytes(8)), "settings": frame(SETTINGS, 0, 0), "window update": OPEN}
CONTROL["empty data"] = frame(DATA, 0, 1)


def limits(**texts: str) -> Limits:
    """What a listener is given by these lines of a properties file."""
    given = {f"grpc_max_{key}": Given(text, "test") for key, text in texts.items()}
    return grpc_limits(load_file(None, arguments=given, environment={}).settings)


def test_the_defaults_of_settings_and_listeners_are_the_same() -> None:
    assert limits() == Limits()


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("reset_burst", "1"),
        ("resets_per_second", "1"),
        ("control_frame_burst", "10"),
        ("control_frames_per_second", "1"),
        ("unread_response_bytes", "1"),
        ("continuation_frames", "0"),
    ],
)
def test_less_than_a_connection_needs_is_refused(key: str, least: str) -> None:
    less = int(least) - 1
    with pytest.raises(ConfigurationError, match=f"grpc_max_{key}: {less} is less than {least}"):
        limits(**{key: str(less)})
    limits(**{key: least})


# ----------------------------------------------------------------------------------------------------- resets


async def reset(client: Peer, count: int, *, start: int = 1) -> None:
    """Begins and resets calls, then asks for an answer."""
    end = start + 2 * count
    for id in range(start, end, 2):
        client.send(client.headers(id), frame(RST_STREAM, 0, id, CANCEL))
    client.call(end, REQUEST)
    await client.until(lambda: client.closed or client.answers.get(end, Answer()).ended)


async def test_as_many_resets_as_the_burst_pass_and_more_close_the_connection(ports: Ports) -> None:
    async with ports.server(limits=limits(reset_burst="5", resets_per_second="1")) as server:
        async with peer(server.port) as client:
            await reset(client, 5)
            assert not client.closed
        async with peer(server.port) as client:
            await reset(client, 100)
            assert client.closed
        assert await serves(server.port)


async def test_a_larger_burst_lets_more_resets_pass(ports: Ports) -> None:
    async with ports.server(limits=limits(reset_burst="3000")) as server, peer(server.port) as client:
        await reset(client, 3000)
        assert not client.closed


async def test_the_rate_refills_the_burst_of_resets(ports: Ports) -> None:
    made = limits(reset_burst="500", resets_per_second="500")
    async with ports.server(limits=made) as server, peer(server.port) as client:
        await reset(client, 500)
        await asyncio.sleep(1.1)  # libnghttp2 counts whole seconds
        await reset(client, 500, start=1003)
        assert not client.closed


# --------------------------------------------------------------------------------------------- control frames


@pytest.mark.parametrize("kind", CONTROL)
async def test_more_control_frames_than_the_burst_end_the_connection(ports: Ports, kind: str) -> None:
    async with ports.server(limits=limits(control_frame_burst="100")) as server:
        async with peer(server.port) as client:
            client.send(client.headers(1), CONTROL[kind] * 500)
            await client.until(lambda: client.closed)
            assert (client.goaway, client.goaway_text) == (ENHANCE_YOUR_CALM, b"too_many_pings")
        assert await serves(server.port)


@pytest.mark.parametrize("kind", CONTROL)
async def test_a_larger_burst_lets_more_control_frames_pass(ports: Ports, kind: str) -> None:
    """More than the protocol library allows by itself."""
    async with ports.server(limits=limits(control_frame_burst="20000")) as server, peer(server.port) as client:
        client.send(client.headers(1), CONTROL[kind] * 15_000)
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


@pytest.mark.parametrize(("rate", "survives"), [("1", False), ("2000000000", True)])
async def test_the_rate_refills_the_burst_of_control_frames(ports: Ports, rate: str, survives: bool) -> None:
    made = limits(control_frame_burst="20", control_frames_per_second=rate)
    async with ports.server(limits=made) as server, peer(server.port) as client:
        for sent in range(10, 1010, 10):
            client.send(CONTROL["ping"] * 10)
            await client.until(lambda sent=sent: client.closed or client.pings == sent)  # type: ignore[misc]
        assert client.closed is not survives


@pytest.mark.parametrize("useless", [frame(PRIORITY, 0, 1, bytes(5)), frame(11, 0, 0)], ids=["priority", "unknown"])
async def test_frames_without_a_use_have_a_limit_too(ports: Ports, useless: bytes) -> None:
    async with ports.server() as server, peer(server.port) as client:
        client.send(useless * 9_000)
        client.call(1, REQUEST)
        assert (await client.answer(1)).status == OK
        client.send(useless * 9_000)
        await client.until(lambda: client.closed)
        assert client.goaway == ENHANCE_YOUR_CALM


async def test_the_frames_that_come_with_many_requests_need_no_burst(ports: Ports) -> None:
    async with ports.server(limits=limits(control_frame_burst="10")) as server, peer(server.port) as client:
        body = message(REQUEST)
        client.send(
            *[
                piece
                for id in range(1, 401, 2)
                for piece in (client.headers(id), frame(DATA, 0, id, body), OPEN, frame(DATA, END_STREAM, id))
            ]
        )
        for id in range(1, 401, 2):
            assert (await client.answer(id)).status == OK


# ----------------------------------------------------------------------------------------------- header lists


def in_frames(client: Peer, size: int, count: int) -> bytes:
    """A call with about ``size`` bytes of metadata in a HEADERS frame and ``count`` CONTINUATION frames."""
    block = client.headers(1, extra=[(f"x-{number}", "X" * 1000) for number in range(size // 1000)])[9:]
    ends = [len(block) * number // (count + 1) for number in range(count + 2)]
    pieces = [block[start:end] for start, end in pairwise(ends)]
    kinds = [HEADERS, *[CONTINUATION] * count]
    flags = [*[0] * count, END_HEADERS]
    return b"".join(frame(kind, flag, 1, piece) for kind, flag, piece in zip(kinds, flags, pieces, strict=True))


@pytest.mark.parametrize(
    ("frames", "count", "passes"),
    [("0", 8, True), ("0", 9, False), ("20", 20, True), ("20", 21, False), ("1", 2, False)],
)
async def test_one_continuation_too_many_closes_the_connection(
    ports: Ports, frames: str, count: int, passes: bool
) -> None:
    async with ports.server(limits=limits(continuation_frames=frames)) as server:
        async with peer(server.port) as client:
            client.send(in_frames(client, 0, count), frame(DATA, END_STREAM, 1, message(REQUEST)))
            answer = await client.answer(1)
            assert (answer.status, client.closed) == ((OK, False) if passes else (None, True))
        assert await serves(server.port)


async def test_metadata_as_large_as_is_allowed_may_come_in_as_many_frames_as_it_needs(ports: Ports) -> None:
    async with ports.server(limits=limits(metadata_size="1m")) as server, peer(server.port) as client:
        client.send(in_frames(client, 900_000, 80), frame(DATA, END_STREAM, 1, message(REQUEST)))
        assert (await client.answer(1)).status == OK


async def test_many_small_entries_count_by_their_size(ports: Ports) -> None:
    small = [(f"x-{number}", "") for number in range(3000)]
    async with ports.server(limits=limits(metadata_size="200k")) as server, peer(server.port) as client:
        head = client.headers(1, extra=small)[9:]
        pieces = [head[at : at + 16_000] for at in range(0, len(head), 16_000)]
        client.send(frame(HEADERS, 0, 1, pieces[0]), *[frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:]])
        client.send(frame(CONTINUATION, END_HEADERS, 1), frame(DATA, END_STREAM, 1, message(REQUEST)))
        assert (await client.answer(1)).status == OK
    async with ports.server() as server, peer(server.port) as client:
        client.call(1, REQUEST, extra=small[:1200])
        assert (await client.answer(1)).status == RESOURCE_EXHAUSTED


# --------------------------------------------------------------------------------------------- unread answers


@pytest.mark.parametrize(("most", "begun"), [("1m", 1), ("64m", 11)])
async def test_requests_wait_while_more_than_the_limit_is_unread(ports: Ports, most: str, begun: int) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(2 * MIB))
    async with ports.server(limits=limits(unread_response_bytes=most)) as server, peer(server.port) as client:
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        for id in range(3, 23, 2):
            client.call(id, BIG)
        client.send(CONTROL["ping"])
        await client.until(lambda: client.pings == 1)
        assert len(ports.inference.submissions) == begun
    await until(lambda: server.open_calls == 0)
