"""What gRPC needs of RFC 9113, and what a hostile HTTP/2 peer must not get away with: the nghttp2 engine alone.

The bounds on memory are wide: they tell bounded from unbounded.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import resource
import weakref
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import wire
from grpc_fakes import LIMIT, Ports, Submission, until
from h2_peer import (
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREDICTIONS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    message,
    peer,
    resident_bytes,
)

from stoker.core.reply import Chunk
from stoker.errors import ModelNotFound
from stoker.frontend import connections, transfers
from stoker.frontend.grpc import connection as connection_module
from stoker.frontend.grpc.engine import ConnectionAge
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.listener import Budgets
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")

MIB = 1 << 20
OK, CANCELLED, UNKNOWN, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 1, 2, 5, 8, 12, 13, 14
ENHANCE_YOUR_CALM, NO_ERROR = 11, 0
INITIAL_WINDOW_SIZE = 4
CANCEL = bytes((0, 0, 0, 8))
GOODBYE = frame(GOAWAY, 0, 0, bytes(8))
REQUEST = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"x"}).SerializeToString()

BIG = inference_pb2.PredictionsRequest(model_name="big", input={"data": b"x"}).SerializeToString()


def echo(submission: Submission) -> None:
    submission.answer(submission.inputs["data"])


@pytest.fixture
def ports() -> Ports:
    ports = Ports("nghttp2")
    ports.inference.on_submit = echo
    return ports


@pytest.fixture
async def server(ports: Ports) -> AsyncIterator[GrpcServer]:
    async with ports.server() as it:
        yield it


async def serves(port: int) -> bool:
    """Whether a neighbour is answered."""
    async with peer(port) as neighbour:
        neighbour.call(1, REQUEST)
        return (await neighbour.answer(1)).status == OK


# ------------------------------------------------------------------------------------------- the protocol


async def test_an_answer_is_headers_data_and_trailers(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.call(1, REQUEST)
        answer = await client.answer(1)
        assert answer.headers == [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]
        assert bytes(answer.body) == message(inference_pb2.PredictionResponse(prediction=b"x").SerializeToString())


STREAM_PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions"


@pytest.mark.parametrize("count", [100, 3000], ids=["small", "larger than a frame"])
async def test_parts_that_are_there_together_are_messages_in_few_frames(
    server: GrpcServer, ports: Ports, count: int
) -> None:
    parts = [b"%05d" % number for number in range(count)]

    def answer(submission: Submission) -> None:
        submission.reply.push_parts([Chunk(part) for part in parts], 5 * count)
        submission.reply.push(Chunk(b"end"), last=True)

    ports.inference.on_submit = answer
    async with peer(server.port) as client:
        client.send(client.headers(1, path=STREAM_PREDICTIONS), frame(DATA, END_STREAM, 1, message(REQUEST)))
        found = await client.answer(1)
        messages = [inference_pb2.PredictionResponse(prediction=part).SerializeToString() for part in (*parts, b"end")]
        assert bytes(found.body) == b"".join(map(message, messages))
        assert found.frames <= 2 + len(found.body) // 8_000


async def test_parts_of_all_sizes_together_arrive_whole_and_in_order(server: GrpcServer, ports: Ports) -> None:
    parts = [b"a", b"", bytes(70_000), b"b", bytes(16_384), b"", b"c", bytes(300_000), b"d"]

    def answer(submission: Submission) -> None:
        submission.reply.push_parts([Chunk(part) for part in parts], sum(map(len, parts)))
        submission.reply.push(Chunk(b"end"), last=True)

    ports.inference.on_submit = answer
    async with peer(server.port, settings={INITIAL_WINDOW_SIZE: 1 << 24}) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (1 << 24).to_bytes(4, "big")))
        client.send(client.headers(1, path=STREAM_PREDICTIONS), frame(DATA, END_STREAM, 1, message(REQUEST)))
        found = await client.answer(1)
        messages = [inference_pb2.PredictionResponse(prediction=part).SerializeToString() for part in (*parts, b"end")]
        assert bytes(found.body) == b"".join(map(message, messages))


async def test_a_request_may_come_one_byte_a_frame(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        body = message(REQUEST)
        client.send(client.headers(1), *[frame(DATA, 0, 1, body[at : at + 1]) for at in range(len(body))])
        client.send(frame(DATA, END_STREAM, 1))
        assert (await client.answer(1)).status == OK


async def test_a_connection_may_come_one_byte_a_segment(server: GrpcServer) -> None:
    async with peer(server.port, greet=False) as client:
        stream = PREFACE + frame(SETTINGS, 0, 0) + client.headers(1) + frame(DATA, END_STREAM, 1, message(REQUEST))
        client.reading = False  # it would answer the server's settings in between
        for at in range(len(stream)):
            client.send(stream[at : at + 1])
            await asyncio.sleep(0)
        client.reading = True
        assert (await client.answer(1)).status == OK


async def test_padding_and_priority_are_read_over(server: GrpcServer) -> None:
    padded, prioritised = 0x8, 0x20
    async with peer(server.port) as client:
        block = client.headers(1)[9:]
        body = message(REQUEST)
        client.send(frame(HEADERS, 0x4 | prioritised | padded, 1, bytes((3, 0, 0, 0, 0, 9)) + block + bytes(3)))
        client.send(frame(DATA, END_STREAM | padded, 1, bytes((200,)) + body + bytes(200)))
        assert (await client.answer(1)).status == OK


async def test_headers_may_go_on_in_continuations(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        block = client.headers(1)[9:]
        client.send(frame(HEADERS, 0, 1, block[:5]), frame(CONTINUATION, 0x4, 1, block[5:]))
        client.send(frame(DATA, END_STREAM, 1, message(REQUEST)))
        assert (await client.answer(1)).status == OK


async def test_many_calls_share_a_connection_and_none_is_mixed_up(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        for id in range(1, 401, 2):
            data = b"%d" % id
            client.call(id, inference_pb2.PredictionsRequest(model_name="m", input={"data": data}).SerializeToString())
        for id in range(1, 401, 2):
            answer = await client.answer(id)
            assert inference_pb2.PredictionResponse.FromString(bytes(answer.body[5:])).prediction == b"%d" % id


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ((":method", "GET"), (":status", "405")),
        (("content-type", "text/plain"), (":status", "415")),
        (("content-type", "application/grpc-web+proto"), (":status", "415")),
    ],
)
async def test_what_is_no_grpc_is_refused_in_http(
    server: GrpcServer, extra: tuple[str, str], expected: tuple[str, str]
) -> None:
    async with peer(server.port) as client:
        wanted = {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/a/B",
            ":authority": "x",
            "content-type": "application/grpc",
        }
        wanted[extra[0]] = extra[1]
        block = client._encoder.encode(list(wanted.items()))
        client.send(frame(HEADERS, 0x4 | END_STREAM, 1, block))
        assert expected in (await client.answer(1)).headers


async def test_an_unknown_method_is_unimplemented_also_before_its_request_ends(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1, path="/a.B/C"), frame(DATA, 0, 1, message(b"x")))
        answer = await client.answer(1)
        await client.until(lambda: answer.reset is not None)
        assert (answer.status, answer.reset) == (UNIMPLEMENTED, NO_ERROR)


async def test_a_client_of_another_protocol_is_told(server: GrpcServer) -> None:
    reader, writer = await wire.connect(server.port)
    writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This port speaks gRPC (HTTP/2)." in answer
    writer.close()


async def test_the_metadata_of_one_call_over_the_limit_is_refused_for_that_call_alone(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.call(1, REQUEST, extra=[(f"x-{number}", "e" * 1000) for number in range(20)])
        assert (await client.answer(1)).status == RESOURCE_EXHAUSTED
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


# --------------------------------------------------------------------------------------------- compression


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
async def test_compressed_requests_are_unpacked_and_their_answers_packed(
    server: GrpcServer, encoding: str, pack: object
) -> None:
    assert callable(pack)
    data = b"z" * 20_000
    request = inference_pb2.PredictionsRequest(model_name="m", input={"data": data}).SerializeToString()
    async with peer(server.port) as client:
        extra = [("grpc-encoding", encoding), ("grpc-accept-encoding", "identity,deflate,gzip")]
        client.send(client.headers(1, extra=extra), frame(DATA, END_STREAM, 1, message(pack(request), packed=True)))
        answer = await client.answer(1)
        assert ("grpc-encoding", encoding) in answer.headers
        packed, body = answer.body[0], zlib.decompress(bytes(answer.body[5:]), 47)
        assert (packed, inference_pb2.PredictionResponse.FromString(body).prediction) == (1, data)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"not packed", INTERNAL),
        ("gzip", gzip.compress(REQUEST, mtime=0)[:-3], INTERNAL),
        ("br", b"x", UNIMPLEMENTED),
        ("", b"x", INTERNAL),
        ("identity", b"x", INTERNAL),
        ("gzip", gzip.compress(bytes(LIMIT + 1), mtime=0), RESOURCE_EXHAUSTED),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(server: GrpcServer, encoding: str, body: bytes, status: int) -> None:
    async with peer(server.port) as client:
        extra = [("grpc-encoding", encoding)] if encoding else []
        client.send(client.headers(1, extra=extra), frame(DATA, END_STREAM, 1, message(body, packed=True)))
        answer = await client.answer(1)
        assert answer.status == status
        names = ("grpc-accept-encoding", "identity,gzip,deflate")
        assert (names in answer.headers) is (status == UNIMPLEMENTED), "a client may try again with one of them"
    assert await serves(server.port)


async def test_a_bomb_is_unpacked_up_to_the_limit_and_no_further(server: GrpcServer) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(150)) + packer.flush()
    before = resident_bytes()
    async with peer(server.port) as client:
        for id in (1, 3, 5, 7):
            client.send(client.headers(id, extra=[("grpc-encoding", "gzip")]))
            body = message(bomb, packed=True)
            pieces = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]
            for number, piece in enumerate(pieces):
                client.send(frame(DATA, END_STREAM if number == len(pieces) - 1 else 0, id, piece))
                await asyncio.sleep(0)
        assert await serves(server.port)
        for id in (1, 3, 5, 7):
            assert (await client.answer(id)).status == RESOURCE_EXHAUSTED
    assert resident_bytes() - before < 100 * MIB


# --------------------------------------------------------------------------------------- sizes and budgets


async def test_a_message_over_the_limit_is_refused_by_its_length_alone(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(b"", length=2_000_000_000)))
        assert (await client.answer(1)).status == RESOURCE_EXHAUSTED
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


async def test_a_client_that_sends_past_its_window_is_cut_off(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(b"", length=1000)))
        client.send(client.headers(3, path="/org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions"))
        for _ in range(50):
            client.send(frame(DATA, 0, 3, bytes(16_000)))
        await client.until(lambda: client.closed or client.answers.get(3) is not None)
        assert client.closed or client.answers[3].reset is not None or client.answers[3].status is not None
    assert await serves(server.port)


async def test_requests_that_do_not_fit_the_budget_wait_and_are_answered_later(ports: Ports) -> None:
    budgets = Budgets(unparsed=3 * MIB)
    budget = budgets.unparsed
    ports.inference.on_submit = lambda submission: submission.answer(b"taken")
    large = inference_pb2.PredictionsRequest(model_name="m", input={"data": bytes(2 * MIB)}).SerializeToString()
    body = message(large)
    async with ports.server(budgets=budgets) as server, peer(server.port) as first, peer(server.port) as second:
        first.send(first.headers(1), frame(DATA, 0, 1, body[:16_000]))
        await until(lambda: budget.taken > 0)
        second.send(second.headers(1), frame(DATA, 0, 1, body[:16_000]))
        await asyncio.sleep(0.05)
        assert second.window_updates.get(1, 0) == 0  # it may not go on
        assert await serves(server.port)  # small requests go on
        await _send_rest(first, body, 16_000)
        assert (await first.answer(1)).status == OK
        await second.until(lambda: second.window_updates.get(1, 0) > 0)
        await _send_rest(second, body, 16_000)
        assert (await second.answer(1)).status == OK
    assert budget.taken == 0


async def _send_rest(client: object, body: bytes, at: int) -> None:
    """Minds the window of the stream as the server opens it."""
    sent = at
    while sent < len(body):
        await client.until(lambda sent=sent: sent < 65_535 + client.window_updates.get(1, 0))  # type: ignore[attr-defined]
        room = min(16_000, 65_535 + client.window_updates.get(1, 0) - sent)  # type: ignore[attr-defined]
        last = sent + room >= len(body)
        client.send(frame(DATA, END_STREAM if last else 0, 1, body[sent : sent + room]))  # type: ignore[attr-defined]
        sent += room


async def test_half_said_requests_hold_no_more_than_the_budget(ports: Ports) -> None:
    """100 clients announce 6 MB each, send what they may, and stop."""
    budgets = Budgets(unparsed=32 * MIB)
    budget = budgets.unparsed
    async with ports.server(budgets=budgets) as server:
        before = resident_bytes()
        clients = [peer(server.port) for _ in range(100)]
        opened = [await client.__aenter__() for client in clients]
        try:
            for client in opened:
                client.send(client.headers(1), frame(DATA, 0, 1, message(bytes(16_000), length=6_000_000)))
            await asyncio.sleep(0.3)
            assert budget.taken <= 32 * MIB
            assert resident_bytes() - before < 150 * MIB
            assert await serves(server.port)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)
        await until(lambda: budget.taken == 0)


async def test_small_requests_that_stay_incomplete_have_a_share_of_the_budget_and_the_rest_are_refused(
    ports: Ports,
) -> None:
    """One client announces 60 KB on each of 200 streams, and finishes none."""
    budgets = Budgets(unparsed=4 * MIB)
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as client:
            for id in range(1, 401, 2):
                client.send(client.headers(id), frame(DATA, 0, id, message(b"x", length=60_000)))
            assert (await client.answer(399)).status == UNAVAILABLE
            assert budgets.unparsed.taken <= 4 * MIB
            refused = [answer for answer in client.answers.values() if answer.status == UNAVAILABLE]
            assert len(refused) == 200 - 3 * MIB // 60_000 - MIB // 60_000
            assert await serves(server.port)
        await until(lambda: budgets.unparsed.taken == 0)


async def test_large_requests_wait_only_as_far_as_what_they_sent_ahead_has_room(ports: Ports) -> None:
    budgets = Budgets(unparsed=4 * MIB)
    body = message(bytes(1000), length=90_000)
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as client:
            for id in range(1, 201, 2):
                client.send(client.headers(id), frame(DATA, 0, id, body))
            assert (await client.answer(199)).status == UNAVAILABLE
            assert budgets.unparsed.taken <= 4 * MIB
            waiting, received = MIB // (64 << 10), 3 * MIB // (90_000 * 9 // 8)
            refused = [answer for answer in client.answers.values() if answer.status == UNAVAILABLE]
            assert len(refused) == 100 - waiting - received
            assert await serves(server.port)
        await until(lambda: budgets.unparsed.taken == 0)


async def test_unread_answers_stop_the_reading_of_more_requests(ports: Ports) -> None:
    """A client asks for 200 answers of 1 MiB and reads none: some are made, then its requests stay unread."""
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(limits=Limits(unread_bytes=8 * MIB)) as server:
        before = resident_bytes()
        async with peer(server.port, settings={INITIAL_WINDOW_SIZE: 65_535}) as client:
            for id in range(1, 401, 2):
                client.call(id, BIG)
                await client.drained()
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert len(ports.inference.submissions) < 100
            assert resident_bytes() - before < 150 * MIB
            assert await serves(server.port)


async def test_answers_larger_than_what_may_be_unread_go_on_while_the_client_reads(ports: Ports) -> None:
    """Reading stops for a client that leaves too much unread, but what opens its windows must still be read."""
    large = bytes(range(256)) * 4096 * 3
    ports.inference.on_submit = lambda submission: submission.answer(large if submission.model == "big" else b"x")
    async with ports.server(limits=Limits(unread_bytes=MIB)) as server, peer(server.port) as client:
        for id in (1, 3, 5):
            client.call(id, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        client.call(7, REQUEST)  # comes while too much is unread
        client.send(client.headers(9), frame(RST_STREAM, 0, 9, CANCEL))
        while not all(client.answers.get(id) and client.answers[id].ended for id in (1, 3, 5, 7)):
            grant = (256 << 10).to_bytes(4, "big")
            client.send(*(frame(WINDOW_UPDATE, 0, id, grant) for id in (0, 1, 3, 5)))
            await asyncio.sleep(0.001)
        assert [client.answers[id].status for id in (1, 3, 5, 7)] == [OK] * 4
        assert all(client.answers[id].body.endswith(large) for id in (1, 3, 5))
        assert len(ports.inference.submissions) == 4


async def test_what_comes_while_too_much_is_unread_counts_in_the_budget(ports: Ports) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB))
    budgets = Budgets()
    async with (
        ports.server(budgets=budgets, limits=Limits(unread_bytes=MIB // 2)) as server,
        peer(server.port) as client,
    ):
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        for id in range(3, 203, 2):
            client.send(client.headers(id), *[frame(DATA, 0, id, bytes(15_000))] * 4)
        await until(lambda: budgets.unread.total > 6 * MIB)
        assert budgets.unparsed.taken == 0
        assert len(ports.inference.submissions) == 1
    await until(lambda: budgets.unread.total == 0)


async def test_a_large_answer_that_the_client_resets_is_forgotten(ports: Ports) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    budgets = Budgets()
    async with ports.server(budgets=budgets) as server, peer(server.port) as client:
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        client.send(frame(RST_STREAM, 0, 1, CANCEL))
        await until(lambda: budgets.unread.total == 0)
        client.send(frame(WINDOW_UPDATE, 0, 0, MIB.to_bytes(4, "big")))
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


@pytest.mark.parametrize("model", ["big", "m"], ids=["answer", "request"])
async def test_a_large_message_takes_turns(ports: Ports, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is read, or sent, as fast as the server goes would keep the others of its loop waiting."""
    turns: list[int] = []
    begin = transfers.Transfers._begin_turn
    monkeypatch.setattr(transfers, "TURN_BYTES", 256 << 10)
    monkeypatch.setattr(transfers.Transfers, "_begin_turn", lambda it: (turns.append(1), begin(it)))
    ports.inference.on_submit = lambda submission: submission.answer(bytes(6 * MIB if model == "big" else 1))
    data = bytes(1 if model == "big" else 6 * MIB)
    large = inference_pb2.PredictionsRequest(model_name=model, input={"data": data}).SerializeToString()
    wide = {INITIAL_WINDOW_SIZE: (1 << 31) - 1}
    async with ports.server() as server, peer(server.port, settings=wide) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")), client.headers(1))
        body = message(large)
        for start in range(0, len(body), 16_384):
            await client.until(lambda at=start: client.window_updates.get(1, 0) + 65_535 >= at + 16_384)
            end = END_STREAM if start + 16_384 >= len(body) else 0
            client.send(frame(DATA, end, 1, body[start : start + 16_384]))
        assert (await client.answer(1)).status == OK
    assert len(turns) > 6


async def test_a_client_that_leaves_answers_unread_is_let_go(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(stream_stall_timeout_s=0.3) as server, peer(server.port) as client:
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and (client.answers[1].reset is not None or client.closed))
        assert client.closed or client.answers[1].reset == ENHANCE_YOUR_CALM
        assert await serves(server.port)


@pytest.mark.parametrize("flood", [b"", frame(PING, 0, 0, bytes(8)) * 5000])
async def test_a_client_that_reads_nothing_at_all_is_cut(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    """Its windows are as wide as can be: what is stuck lies in the socket, and an orderly end would wait behind it."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(stream_stall_timeout_s=0.3) as server, peer(server.port) as client:
        await client.until(lambda: bool(client.settings))
        client.reading = False
        client.send(
            frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (1 << 30).to_bytes(4, "big")),
            frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")),
        )
        for stream in range(1, 20, 2):
            client.call(stream, BIG)
        client.send(flood)
        opened = server._engine.connections  # type: ignore[union-attr]
        await until(lambda: not opened.open)
        assert await serves(server.port)


async def test_a_request_that_stops_half_way_is_given_up(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(slow_s=0.2)) as server, peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(b"", length=1000)))
        answer = await client.answer(1)
        assert (answer.status, ("grpc-message", "The request did not arrive in time.") in answer.headers) == (
            CANCELLED,
            True,
        )


async def test_a_connection_that_says_nothing_is_closed(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(first_s=0.2)) as server, peer(server.port, greet=False) as client:
        await client.until(lambda: client.closed)
        assert await serves(server.port)


async def test_an_idle_connection_is_asked_to_go_after_its_time(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(idle_s=0.2)) as server, peer(server.port) as client:
        await client.until(lambda: client.closed)
        assert client.goaway == NO_ERROR


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


# ------------------------------------------------------------------------------------------------- floods


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


@pytest.mark.parametrize("wire", ["tcp"], indirect=True)
async def test_thousands_of_idle_connections_cost_little_and_disturb_nobody(ports: Ports) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(3_000, (hard - 500) // 2)  # both ends are in this process
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * count + 500), hard))
    before, writers = resident_bytes(), list[asyncio.StreamWriter]()
    try:
        async with ports.server(limits=Limits(connections=count + 1)) as server:
            for _ in range(count):
                _, writer = await wire.connect(server.port)
                writer.write(PREFACE + frame(SETTINGS, 0, 0))
                writers.append(writer)
            assert await serves(server.port)
            assert (resident_bytes() - before) / count < 100_000
    finally:
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -------------------------------------------------------------------------------------------------- drain


async def test_a_drain_says_goaway_in_two_steps_and_open_calls_are_answered(ports: Ports) -> None:
    ports.inference.on_submit = None
    async with ports.server() as server, peer(server.port) as client:
        client.call(1, REQUEST)
        submission = await ports.inference.submitted()
        drain = asyncio.ensure_future(server.drain(10.0))
        await client.until(lambda: client.goaway is not None)
        assert not client.closed
        submission.answer(b"last")
        answer = await client.answer(1)
        assert answer.status == OK
        await drain
        await client.until(lambda: client.closed)


@pytest.mark.parametrize("goaways", [1, 2])
async def test_a_client_that_says_goodbye_is_answered_and_let_go(ports: Ports, goaways: int) -> None:
    ports.inference.on_submit = None
    async with ports.server() as server, peer(server.port) as client:
        client.call(1, REQUEST)
        submission = await ports.inference.submitted()
        client.send(GOODBYE * goaways, frame(PING, 0, 0, b"12345678"))
        await client.until(lambda: client.pings == 1)
        submission.answer(b"last")
        assert (await client.answer(1)).status == OK
        await client.until(lambda: client.closed)


@pytest.mark.parametrize("then", [b"", frame(GOAWAY, 0, 0, bytes(8)), frame(PING, 0, 0, b"12345678")])
async def test_a_goodbye_with_nothing_open_ends_the_connection_without_a_word_in_the_log(
    server: GrpcServer, caplog: pytest.LogCaptureFixture, then: bytes
) -> None:
    """Some clients leave their end open until the server closes its own, or say it twice."""
    caplog.set_level("INFO")
    async with peer(server.port) as client:
        client.call(1, REQUEST)
        assert (await client.answer(1)).status == OK
        client.send(GOODBYE)
        await client.drained()
        client.send(then)
        await client.until(lambda: client.closed)
    await server.drain(1.0)
    assert "connection closed" not in caplog.text


async def test_a_closed_connection_is_freed_long_before_its_age(ports: Ports) -> None:
    async with ports.server(connection_age=ConnectionAge(age_s=1000.0, grace_s=1000.0)) as server:
        connections = server._engine.connections.open  # type: ignore[union-attr]
        async with peer(server.port) as client:
            client.call(1, REQUEST)
            assert (await client.answer(1)).status == OK
            closed = weakref.ref(next(iter(connections)))
        await until(lambda: not connections and (gc.collect(), closed())[1] is None)


def test_the_module_of_connections_announces_what_the_limits_say() -> None:
    made = connection_module.configuration(Limits(header_bytes=1000))
    assert (made.auto_window_update, made.max_inbound_header_list_size) == (False, 8000)


@pytest.mark.parametrize(
    "path", [PREDICTIONS, "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping", "/no.such.Service/Method"]
)
@pytest.mark.parametrize("ended", [True, False], ids=["whole", "half"])
async def test_a_request_that_is_reset_as_it_arrives_disturbs_no_other_call(
    server: GrpcServer, ports: Ports, path: str, ended: bool
) -> None:
    """An answer that is there at once has no stream any more when request and reset arrive together."""
    flags, cancel = END_STREAM if ended else 0, (8).to_bytes(4, "big")
    async with peer(server.port) as client:
        client.call(1, REQUEST)
        assert (await client.answer(1)).status == OK
        ports.inference.refusal = ModelNotFound(model="m")
        for id in (3, 5, 7):
            head, body = client.headers(id, path=path), frame(DATA, flags, id, message(REQUEST))
            client.send(head, body, frame(RST_STREAM, 0, id, cancel))
        client.send(client.headers(9, path=path, end=True), frame(RST_STREAM, 0, 9, cancel))
        client.call(11, REQUEST)

        assert (await client.answer(11)).status == NOT_FOUND
    await until(lambda: server.open_calls == 0)
