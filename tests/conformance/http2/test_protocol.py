"""What gRPC needs of HTTP/2, to frames as no library cuts them; `test_protocol_strictly` has the rest."""

from __future__ import annotations

import asyncio
import random

import pytest
import wire
from grpc_fakes import Ports, Submission
from h2_peer import (
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MIB,
    NO_ERROR,
    NOT_FOUND,
    OK,
    PREDICTIONS,
    PREFACE,
    REQUEST,
    RESOURCE_EXHAUSTED,
    RST_STREAM,
    SETTINGS,
    STREAM_PREDICTIONS,
    STREAM_PREDICTIONS_2,
    UNIMPLEMENTED,
    WINDOW_UPDATE,
    frame,
    message,
    peer,
)
from waiting import until

from stoker.core.reply import Chunk
from stoker.errors import ModelNotFound
from stoker.frontend.grpc import connection as connection_module
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")


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


async def test_a_client_of_another_protocol_is_told_although_it_goes_on_sending(server: GrpcServer) -> None:
    reader, writer = await wire.connect(server.port)
    writer.write(b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
    for _ in range(4):
        writer.write(bytes(1_000_000))
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()


async def test_the_metadata_of_one_call_over_the_limit_is_refused_for_that_call_alone(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.call(1, REQUEST, extra=[(f"x-{number}", "e" * 1000) for number in range(20)])
        assert (await client.answer(1)).status == RESOURCE_EXHAUSTED
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


def test_the_module_of_connections_announces_what_the_limits_say() -> None:
    made = connection_module.configuration(Limits(header_bytes=1000))
    assert (made.auto_window_update, made.max_inbound_header_list_size) == (False, 8000)


@pytest.mark.parametrize(
    "path",
    [
        PREDICTIONS,
        STREAM_PREDICTIONS_2,
        "/inference.GRPCInferenceService/ModelStreamInfer",
        "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping",
        "/no.such.Service/Method",
    ],
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
            head, body = client.headers(id, path=path), frame(DATA, flags, id, message(REQUEST) * (1 if ended else 2))
            client.send(head, body, frame(RST_STREAM, 0, id, cancel))
        client.send(client.headers(9, path=path, end=True), frame(RST_STREAM, 0, 9, cancel))
        client.call(11, REQUEST)

        assert (await client.answer(11)).status == NOT_FOUND
    await until(lambda: server.open_calls == 0)


@pytest.mark.parametrize("seed", range(5))
async def test_settings_may_change_in_the_middle_of_answers(server: GrpcServer, ports: Ports, seed: int) -> None:
    chosen = random.Random(seed)
    choices = {1: (0, 100, 4096, 1 << 20), INITIAL_WINDOW_SIZE: (0, 1, 65_535, 1 << 20), 5: (16_384, (1 << 24) - 1)}
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB))
    async with peer(server.port, settings={INITIAL_WINDOW_SIZE: 100}) as client:
        for stream in range(1, 41, 2):
            client.call(stream, REQUEST)
            key = chosen.choice(list(choices))
            value = chosen.choice(choices[key])
            client.send(
                frame(SETTINGS, 0, 0, key.to_bytes(2, "big") + value.to_bytes(4, "big")),
                frame(WINDOW_UPDATE, 0, 0, (100_000).to_bytes(4, "big")),
            )
            await asyncio.sleep(0.001)
        wide = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (1 << 24).to_bytes(4, "big")
        client.send(frame(SETTINGS, 0, 0, wide), frame(WINDOW_UPDATE, 0, 0, (1 << 28).to_bytes(4, "big")))
        for stream in range(1, 41, 2):
            answer = await client.answer(stream)
            assert (answer.status, len(answer.body) > MIB) == (OK, True)
