"""What gRPC needs of RFC 9113, to a client that holds the server to every rule of it (`strict_client`)."""

from __future__ import annotations

import asyncio
import os

import pytest
from grpc_fakes import Ports, Submission
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from h2_peer import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    NOT_FOUND,
    OK,
    PING,
    REQUEST,
    SETTINGS,
    STREAM_PREDICTIONS,
    UNAVAILABLE,
    UNIMPLEMENTED,
    WINDOW_UPDATE,
    frame,
    message,
)
from strict_client import Answer, StrictClient, strict_client
from waiting import until

from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import ModelNotFound
from stoker.frontend.grpc import connection as connection_module
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")

SMALLEST_FRAME, LARGER_FRAME = 1 << 14, 1 << 16
WINDOW = 65_535
GRPC_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


def asking(data: bytes) -> bytes:
    return inference_pb2.PredictionsRequest(model_name="m", input={"data": data}).SerializeToString()


def answered(*parts: bytes) -> bytes:
    """Returns the body of an answer."""
    messages = [inference_pb2.PredictionResponse(prediction=part).SerializeToString() for part in parts]
    return b"".join(map(message, messages))


async def serves(client: StrictClient) -> bool:
    """Tells whether a further call on the connection is answered."""
    _, answer = client.call()
    await client.over(answer)
    return (answer.status, bytes(answer.body)) == (OK, answered(b"x"))


def sizes(client: StrictClient, kind: int, since: int = 0) -> list[int]:
    return [len(seen.payload) for seen in client.frames[since:] if seen.kind == kind]


# ------------------------------------------------------------------------------------------------------- settings


async def test_settings_come_first_and_are_acknowledged(ports: Ports) -> None:
    async with ports.server(limits=Limits(calls=7)) as server, strict_client(server.port) as client:
        await client.until(lambda: client.settings_acknowledged == 1)
        assert (client.frames[0].kind, client.frames[0].flags) == (SETTINGS, 0)
        assert client.h2.remote_settings.max_concurrent_streams == 7
        assert SettingCodes.ENABLE_PUSH not in announced(client)
        assert await serves(client)


def announced(client: StrictClient) -> set[int]:
    payload = client.frames[0].payload
    return {int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 6)}


async def test_each_change_of_settings_is_acknowledged_once(server: GrpcServer) -> None:
    async with strict_client(server.port) as client:
        for number in range(5):
            await client.change(SettingCodes.MAX_CONCURRENT_STREAMS, number)
        await client.round_trip()
        assert sum((seen.kind, seen.flags) == (SETTINGS, ACK) for seen in client.frames) == 6
        assert await serves(client)


async def test_unknown_settings_and_frames_are_ignored(server: GrpcServer) -> None:
    async with strict_client(server.port, {0x1A2B: 3}) as client:
        stream = client.begin()
        client.flush(frame(0xFA, 0xFF, 0, b"of the connection"), frame(0xFB, 0xFF, stream, b"of the stream"))
        await client.change(0x3C4D, (1 << 32) - 1)
        await client.send_all(stream, message(REQUEST))
        answer = await client.over(client.answers[stream])
        assert (answer.status, bytes(answer.body)) == (OK, answered(b"x"))


async def test_the_size_of_frames_may_change_in_mid_connection(server: GrpcServer) -> None:
    data = os.urandom(300_000)
    async with strict_client(server.port) as client:
        for size in (SMALLEST_FRAME, LARGER_FRAME, SMALLEST_FRAME):
            await client.change(SettingCodes.MAX_FRAME_SIZE, size)
            begun, stream = len(client.frames), client.begin()
            await client.send_all(stream, message(asking(data)))
            assert bytes((await client.over(client.answers[stream])).body) == answered(data)
            assert max(sizes(client, DATA, begun)) <= size


async def test_the_header_table_may_change_in_mid_connection(server: GrpcServer, ports: Ports) -> None:
    """The server's encoder must say so before its next header, or `h2` refuses it; what it then sends must be true."""
    ports.inference.on_submit = lambda s: s.answer(b"x", meta=ResponseMeta(headers={"x-said": s.headers["x-said"]}))  # type: ignore[index]
    async with strict_client(server.port) as client:
        for round, size in enumerate((4096, 0, 100, 0, 65_536, 4096)):
            await client.change(SettingCodes.HEADER_TABLE_SIZE, size)
            for said in (f"{round} once", f"{round} once", f"{round} again"):
                _, answer = client.call(extra=[("x-said", said)])
                await client.over(answer)
                assert answer.trailers is not None and ("x-said", said) in answer.trailers
                assert answer.headers == GRPC_HEADERS


# -------------------------------------------------------------------------------------------------------- windows


async def test_an_answer_comes_by_the_byte_through_a_window_that_was_shut(server: GrpcServer) -> None:
    async with strict_client(server.port, {SettingCodes.INITIAL_WINDOW_SIZE: 0}, reads=False) as client:
        stream, answer = client.call()
        await client.until(lambda: bool(answer.headers))
        await client.round_trip()
        assert not answer.body
        body = answered(b"x")
        for size in range(1, len(body) + 1):
            client.open_window(1, stream)
            await client.until(lambda size=size: len(answer.body) == size)  # type: ignore[misc]
        await client.over(answer)
        assert (answer.status, bytes(answer.body)) == (OK, body)
        assert set(sizes(client, DATA)) <= {0, 1}


async def test_one_byte_of_window_is_one_byte_of_each_answer(server: GrpcServer) -> None:
    async with strict_client(server.port, {SettingCodes.INITIAL_WINDOW_SIZE: 1}, reads=False) as client:
        calls = [client.call() for _ in range(20)]
        await client.until(lambda: all(len(answer.body) == 1 for _, answer in calls))
        await client.round_trip()
        assert all(len(answer.body) == 1 and not answer.over for _, answer in calls)
        for stream, answer in reversed(calls):
            client.open_window(100, stream)
            assert bytes((await client.over(answer)).body) == answered(b"x")


async def test_the_window_of_the_connection_bounds_all_answers_together(server: GrpcServer) -> None:
    data = bytes(40_000)
    wide = {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24}
    async with strict_client(server.port, wide, reads=False) as client:
        answers = []
        for _ in range(3):
            stream = client.begin()
            answers.append(client.answers[stream])
            await client.send_all(stream, message(asking(data)))
        await client.until(lambda: received(answers) == WINDOW)
        await client.round_trip()
        assert received(answers) == WINDOW
        client.open_window(1)
        await client.until(lambda: received(answers) == WINDOW + 1)
        client.open_window(1 << 20)
        for answer in answers:
            assert bytes((await client.over(answer)).body) == answered(data)


def received(answers: list[Answer]) -> int:
    return sum(len(answer.body) for answer in answers)


async def test_a_window_that_shrinks_below_zero_holds_an_answer_until_it_is_open_again(server: GrpcServer) -> None:
    data = bytes(200_000)
    async with strict_client(server.port, reads=False) as client:
        stream = client.begin()
        answer = client.answers[stream]
        await client.send_all(stream, message(asking(data)))
        await client.until(lambda: len(answer.body) == WINDOW)
        client.open_window(1 << 20)  # of the connection
        await client.change(SettingCodes.INITIAL_WINDOW_SIZE, 1000)  # of the stream: -64,535 now
        client.open_window(WINDOW - 1000, stream)
        await client.round_trip()
        assert len(answer.body) == WINDOW
        client.open_window(1, stream)
        await client.until(lambda: len(answer.body) == WINDOW + 1)
        await client.change(SettingCodes.INITIAL_WINDOW_SIZE, 1 << 20)
        assert bytes((await client.over(answer)).body) == answered(data)


@pytest.mark.parametrize("padding", [None, 0, 1, 255], ids=["unpadded", "of none", "of a byte", "of most"])
async def test_large_requests_go_through_the_servers_windows_with_their_padding(
    server: GrpcServer, padding: int | None
) -> None:
    """Padding counts too: if the server did not give it back, the client's windows would shut for good."""
    data = os.urandom(1_000_000)
    async with strict_client(server.port) as client:
        stream = client.begin()
        await client.send_all(stream, message(asking(data)), padding=padding)
        assert bytes((await client.over(client.answers[stream])).body) == answered(data)


async def test_more_padding_than_a_window_holds_is_given_back(server: GrpcServer) -> None:
    body = message(asking(bytes(1000)))
    async with strict_client(server.port) as client:
        stream = client.begin()
        for at in range(len(body)):
            await client.send_all(stream, body[at : at + 1], end=at == len(body) - 1, padding=255)
        assert (await client.over(client.answers[stream])).status == OK


# -------------------------------------------------------------------------------------------------------- answers


async def test_a_unary_answer_is_headers_data_and_trailers(server: GrpcServer) -> None:
    async with strict_client(server.port) as client:
        stream, answer = client.call()
        await client.over(answer)
        assert (answer.headers, answer.trailers) == (GRPC_HEADERS, [("grpc-status", "0")])
        assert bytes(answer.body) == answered(b"x")
        found = [seen for seen in client.frames if seen.stream == stream and seen.kind != WINDOW_UPDATE]
        assert [seen.kind for seen in found] == [HEADERS, DATA, HEADERS]
        assert [bool(seen.flags & END_STREAM) for seen in found] == [False, False, True]


async def test_a_stream_is_headers_a_message_for_each_part_and_trailers(server: GrpcServer, ports: Ports) -> None:
    ports.inference.on_submit = None
    async with strict_client(server.port) as client:
        _, answer = client.call(path=STREAM_PREDICTIONS)
        submission = await ports.inference.submitted()
        for number in range(1, 4):
            submission.reply.push(Chunk(b"%d" % number), last=number == 3)
            whole = answered(*(b"%d" % part for part in range(1, number + 1)))
            await client.until(lambda whole=whole: bytes(answer.body) == whole)  # type: ignore[misc]
        await client.over(answer)
        assert (answer.headers, answer.trailers) == (GRPC_HEADERS, [("grpc-status", "0")])


@pytest.mark.parametrize("path", [None, "/no.such.Service/Method"], ids=["of the model", "of the path"])
async def test_an_error_without_a_message_is_trailers_only(server: GrpcServer, ports: Ports, path: str | None) -> None:
    ports.inference.refusal = ModelNotFound(model="m")
    async with strict_client(server.port) as client:
        stream, answer = client.call(**({} if path is None else {"path": path}))
        await client.over(answer)
        assert (answer.status, answer.trailers, answer.body) == (
            NOT_FOUND if path is None else UNIMPLEMENTED,
            None,
            b"",
        )
        assert answer.headers[:2] == GRPC_HEADERS
        found = [seen for seen in client.frames if seen.stream == stream]
        assert [(seen.kind, bool(seen.flags & END_STREAM)) for seen in found] == [(HEADERS, True)]


async def test_headers_go_on_in_continuations(server: GrpcServer, ports: Ports) -> None:
    def answer(submission: Submission) -> None:
        assert submission.headers is not None
        submission.answer(submission.headers["x-asked"].encode())

    ports.inference.on_submit = answer
    async with strict_client(server.port) as client:
        client.h2.max_outbound_frame_size = 50  # the client cuts its headers to this size
        asked = "some long value of this header, " * 5 + "which goes on"
        stream = client.begin(extra=[("x-asked", asked)])
        client.h2.max_outbound_frame_size = SMALLEST_FRAME
        await client.send_all(stream, message(REQUEST))
        assert bytes((await client.over(client.answers[stream])).body) == answered(asked.encode())


async def test_priorities_are_ignored(server: GrpcServer) -> None:
    async with strict_client(server.port) as client:
        stream = client.begin()
        client.h2.prioritize(stream, weight=1, depends_on=stream + 2, exclusive=True)
        client.h2.prioritize(stream + 100, weight=256)  # of a stream that is idle
        await client.send_all(stream, message(REQUEST))
        client.h2.prioritize(stream, weight=16)
        client.flush()
        assert (await client.over(client.answers[stream])).status == OK
        client.h2.prioritize(stream, weight=16)  # of one that is closed
        client.flush()
        assert await serves(client)


async def test_a_ping_is_acknowledged_with_its_own_bytes_while_calls_are_open(server: GrpcServer, ports: Ports) -> None:
    ports.inference.on_submit = None
    async with strict_client(server.port) as client:
        client.call()
        await ports.inference.submitted()
        for payload in (b"12345678", bytes(8), b"\xff" * 8):
            await client.round_trip(payload)
        assert client.pings == [b"12345678", bytes(8), b"\xff" * 8]
        assert [seen.stream for seen in client.frames if seen.kind == PING] == [0, 0, 0]


# ------------------------------------------------------------------------------------------------ resets, refusals


@pytest.mark.parametrize("sent", ["headers", "half", "whole"])
async def test_a_reset_before_the_answer_ends_the_call_alone(server: GrpcServer, ports: Ports, sent: str) -> None:
    ports.inference.on_submit = None
    async with strict_client(server.port) as client:
        stream, body = client.begin(), message(REQUEST)
        if sent != "headers":
            await client.send_all(stream, body if sent == "whole" else body[:7], end=sent == "whole")
        client.flush()
        if sent == "whole":
            await ports.inference.submitted()
        client.reset(stream)
        await client.round_trip()
        assert all(submission.cancelled for submission in ports.inference.submissions)
        assert server.open_calls == 0
        assert not [seen for seen in client.frames if seen.stream == stream and seen.kind in (HEADERS, DATA)]
        ports.inference.on_submit = lambda submission: submission.answer(b"x")
        assert await serves(client)


async def test_a_reset_in_the_middle_of_a_stream_ends_it_and_its_windows_lose_nothing(
    server: GrpcServer, ports: Ports
) -> None:
    """Data that crosses the reset counts in the window of the connection, which `h2` gives back."""
    ports.inference.on_submit = None
    async with strict_client(server.port) as client:
        for number in range(1, 6):
            stream, answer = client.call(path=STREAM_PREDICTIONS)
            submission = await ports.inference.submitted(number)
            submission.reply.push(Chunk(bytes(60_000)), last=False)
            await client.until(lambda answer=answer: len(answer.body) > 30_000)  # type: ignore[misc]
            client.reset(stream)
            await client.round_trip()
            assert submission.cancelled
        ports.inference.on_submit = lambda submission: submission.answer(b"x")
        assert await serves(client)


async def test_a_reset_after_the_answer_is_no_fault(server: GrpcServer) -> None:
    async with strict_client(server.port) as client:
        stream, answer = client.call()
        await client.over(answer)
        client.flush(frame(3, 0, stream, int(ErrorCodes.CANCEL).to_bytes(4, "big")))
        await client.round_trip()
        assert await serves(client)


async def test_calls_beyond_the_limit_are_refused_to_a_client_that_has_not_heard_of_it(ports: Ports) -> None:
    """REFUSED_STREAM says that nothing was done, so that libraries try again."""
    ports.inference.on_submit = None
    async with ports.server(limits=Limits(calls=10)) as server, strict_client(server.port) as client:
        calls = [client.call() for _ in range(25)]  # before the server's settings are read
        await client.until(lambda: sum(answer.over for _, answer in calls) == 15)
        await until(lambda: len(ports.inference.submissions) == 10)
        assert {answer.reset for _, answer in calls[10:]} == {ErrorCodes.REFUSED_STREAM}
        for submission in ports.inference.submissions:
            submission.answer(b"x")
        for _, answer in calls[:10]:
            assert (await client.over(answer)).status == OK
        ports.inference.on_submit = lambda submission: submission.answer(b"x")
        assert await serves(client)


# ----------------------------------------------------------------------------------------------------- the farewell


async def test_a_drain_names_the_last_stream_in_its_second_goaway_and_answers_up_to_it(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_GOAWAY_PAUSE_S", 1000.0)
    ports.inference.on_submit = None
    async with ports.server() as server, strict_client(server.port) as client:
        client.hidden.add(PING)  # so that the notice is not acknowledged
        _, open_call = client.call()
        submission = await ports.inference.submitted()
        drain = asyncio.ensure_future(server.drain(1000.0))
        await client.until(lambda: bool(goaways(client)))
        assert goaways(client) == [((1 << 31) - 1, NO_ERROR)]
        crossing, late = client.call()  # as one that crosses the notice
        assert (await client.over(late)).status == UNAVAILABLE
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        connection.shutdown()  # the pause is over
        await client.until(lambda: len(goaways(client)) == 2)
        assert goaways(client)[1] == (crossing, NO_ERROR)
        submission.answer(b"last")
        await client.over(open_call)
        assert (open_call.status, bytes(open_call.body)) == (OK, answered(b"last"))
        await client.until(lambda: client.closed)
        await drain


async def test_a_call_that_crosses_the_first_goaway_of_an_idle_connection_is_answered(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_GOAWAY_PAUSE_S", 1000.0)
    async with ports.server() as server, strict_client(server.port) as client:
        await client.round_trip()
        client.hidden.add(PING)
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        connection.shutdown()  # as at the end of its age
        await client.until(lambda: client.frames[-1].kind == PING)
        assert goaways(client) == [((1 << 31) - 1, NO_ERROR)]  # before the ping
        crossing, answer = client.call()
        assert (await client.over(answer)).status == OK
        (notice,) = [seen.payload for seen in client.frames if seen.kind == PING and not seen.flags & ACK]
        client.flush(frame(PING, ACK, 0, notice))
        await client.until(lambda: len(goaways(client)) == 2)
        assert goaways(client)[1] == (crossing, NO_ERROR)


def goaways(client: StrictClient) -> list[tuple[int, int]]:
    """Returns last stream and code of each."""
    found = [seen.payload for seen in client.frames if seen.kind == GOAWAY]
    return [(int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")) for payload in found]
