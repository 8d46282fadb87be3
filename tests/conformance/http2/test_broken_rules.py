"""What clients of HTTP/2 that break rules or play with windows get, and that a neighbour is answered meanwhile."""

from __future__ import annotations

import pytest
from grpc_fakes import Ports
from h2_peer import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INTERNAL,
    OK,
    PRIORITY,
    PROTOCOL_ERROR,
    REQUEST,
    UNIMPLEMENTED,
    WINDOW_UPDATE,
    Peer,
    frame,
    message,
    peer,
    serves,
)
from waiting import until

from stoker.frontend import connections
from stoker.frontend.grpc.server import GrpcServer
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")
LARGE = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"x" * 1000}).SerializeToString()


@pytest.mark.parametrize(
    "update",
    [
        pytest.param(frame(WINDOW_UPDATE, 0, 0, bytes(4)), id="of nothing for the connection"),
        pytest.param(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), id="beyond all windows"),
        pytest.param(frame(WINDOW_UPDATE, 0, 0, b"\x01"), id="of the wrong length"),
        pytest.param(frame(DATA, 0, 0, b"x"), id="data for the connection"),
        pytest.param(frame(HEADERS, END_HEADERS, 2, b""), id="a stream of the server's own"),
        pytest.param(frame(99, 0, 1, b"x") + frame(DATA, 0, 9, b"x"), id="data for a stream that never was"),
    ],
)
async def test_a_rule_that_is_broken_for_the_connection_ends_it_alone(server: GrpcServer, update: bytes) -> None:
    async with peer(server.port) as client:
        client.send(update)
        await until(lambda: client.closed)
    assert await serves(server.port)


@pytest.mark.parametrize("update", [bytes(4), b"\x7f\xff\xff\xff"], ids=["nothing", "beyond all windows"])
async def test_a_broken_window_of_a_stream_costs_no_other_connection(server: GrpcServer, update: bytes) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(WINDOW_UPDATE, 0, 1, update))
        answer = await client.answer(1)
        assert client.closed or answer.reset is not None
    assert await serves(server.port)


async def test_priorities_in_thousands_end_their_connection_or_cost_nothing(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        for _ in range(20):
            client.send(frame(PRIORITY, 0, 1, b"\x00\x00\x00\x03\x10") * 1000)
            await client.drained()
        assert await serves(server.port)


async def one_call(client: Peer, *frames: bytes) -> int | None:
    client.send(client.headers(1), *frames)
    return (await client.answer(1)).status


def split(data: bytes, *sizes: int) -> list[bytes]:
    """Cuts the body into DATA frames; the last has the rest."""
    frames, start = [], 0
    for size in sizes:
        frames.append(frame(DATA, 0, 1, data[start : start + size]))
        start += size
    return [*frames, frame(DATA, END_STREAM, 1, data[start:])]


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        pytest.param(split(message(REQUEST), 1, 3), OK, id="within the prefix"),
        pytest.param(split(message(REQUEST), 5), OK, id="after the prefix"),
        pytest.param(split(message(REQUEST), 0, 0, 5, 0), OK, id="with empty frames"),
        pytest.param(split(message(LARGE), 4, 2, 500), OK, id="within the message"),
        pytest.param(split(message(REQUEST), len(message(REQUEST))), OK, id="the end apart"),
        pytest.param(split(message(REQUEST) * 2), UNIMPLEMENTED, id="two messages at once"),
        pytest.param(split(message(REQUEST) * 2, len(message(REQUEST))), UNIMPLEMENTED, id="two messages"),
        pytest.param(split(message(REQUEST) + b"\x00"), INTERNAL, id="a byte too much"),
        pytest.param(split(message(REQUEST)[:-1]), INTERNAL, id="a byte too few"),
        pytest.param(split(b""), INTERNAL, id="no message"),
        pytest.param(split(b"\x02" + message(REQUEST)[1:]), INTERNAL, id="an unknown flag"),
    ],
)
async def test_however_a_message_is_cut_its_bytes_decide(server: GrpcServer, frames: list[bytes], status: int) -> None:
    async with peer(server.port) as client:
        assert await one_call(client, *frames) == status
    assert await serves(server.port)


@pytest.mark.parametrize(
    ("extra", "trailers"),
    [
        pytest.param([("content-length", "3")], [], id="more data than its content-length"),
        pytest.param([("content-length", "3000")], [], id="less data than its content-length"),
        pytest.param([("content-length", "9"), ("content-length", "7")], [], id="two lengths"),
        pytest.param([("content-length", "-9")], [], id="a negative length"),
        pytest.param([], [(":path", "/other")], id="trailers with a path"),
        pytest.param([("connection", "close")], [], id="a header of HTTP/1"),
        pytest.param([("transfer-encoding", "chunked")], [], id="a body in chunks"),
        pytest.param([("Upper", "case")], [], id="a name in upper case"),
        pytest.param([(":late", "x")], [], id="a pseudo-header after the others"),
        pytest.param([("x", "a\r\nb: c")], [], id="a line break in a value"),
    ],
)
async def test_a_call_that_proxies_could_read_in_two_ways_is_reset_alone(
    server: GrpcServer, extra: list[tuple[str, str]], trailers: list[tuple[str, str]]
) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1, extra=extra), frame(DATA, 0 if trailers else END_STREAM, 1, message(REQUEST)))
        if trailers:
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client._encoder.encode(trailers)))
        answer = await client.answer(1)
        assert (answer.reset, answer.status) == (PROTOCOL_ERROR, None)
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


@pytest.mark.parametrize("value", ["", "5", "S", "-1S", "1s", "999999999S", "1.5S", "٣S", "1S1S"])
async def test_a_malformed_timeout_is_no_deadline(server: GrpcServer, value: str) -> None:
    async with peer(server.port) as client:
        client.call(1, REQUEST, extra=[("grpc-timeout", value)])
        assert client.closed or (await client.answer(1)).status == OK


async def test_trailers_of_a_client_end_its_request(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(REQUEST)))
        trailers = client._encoder.encode([("x-checksum", "1")])
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers))
        assert (await client.answer(1)).status == OK


async def test_trailers_of_a_client_end_a_request_that_is_refused(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 1000.0)  # which would answer it at last
    async with ports.server() as server, peer(server.port) as client:
        client.send(client.headers(1, path="/a.B/C"))
        trailers = client._encoder.encode([("x-checksum", "1")])
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers))
        assert (await client.answer(1)).status == UNIMPLEMENTED
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK
