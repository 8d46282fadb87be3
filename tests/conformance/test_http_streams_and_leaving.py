"""Answers in parts over HTTP, slow readers, and clients that leave (contract of REST, 4.11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import wire
from grpc_fakes import Submission, answering
from http_fakes import PREDICT, HttpPorts, Running, connections, echo, running
from waiting import until

from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import HandlerRaised, StreamStalled, WorkerDied
from stoker.frontend.http import events

pytestmark = pytest.mark.usefixtures("wire")

GET_1_0 = b"GET /predictions/m HTTP/1.0\r\n\r\n"
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(HttpPorts()) as it:
        yield it


Begun = tuple[Submission, asyncio.StreamReader, asyncio.StreamWriter]


async def submitted(server: Running, request: bytes = PREDICT) -> Begun:
    reader, writer = await server.connect()
    writer.write(request)
    return await server.inference.submitted(), reader, writer


# ------------------------------------------------------------------------------------------------ chunks


async def test_each_part_is_a_chunk_as_it_comes_and_the_first_fixes_the_head(server: Running) -> None:
    submission, reader, writer = await submitted(server)
    submission.reply.push(Chunk(b"one", ResponseMeta(201, "Begun", {"X-Part": "1"})), last=False)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Begun\r\n")
    assert b"\r\nX-Part: 1\r\n" in head
    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert await reader.readexactly(8) == b"3\r\none\r\n"
    submission.reply.push(Chunk(b"", ResponseMeta(500)), last=False)
    submission.reply.push(Chunk(b"two"), last=False)
    assert await reader.readexactly(8) == b"3\r\ntwo\r\n"
    submission.reply.push(Chunk(b"three"), last=True)
    assert await reader.readexactly(15) == b"5\r\nthree\r\n0\r\n\r\n"
    writer.write(PREDICT)
    assert (await server.inference.submitted(2)) is not submission  # the connection goes on
    writer.close()


@pytest.mark.parametrize("status", [204, 304])
async def test_parts_of_an_answer_that_has_no_body_are_not_sent(server: Running, status: int) -> None:
    """Bytes behind such a head would be the start of the next answer."""
    submission, reader, writer = await submitted(server)
    submission.reply.push(Chunk(b"one", ResponseMeta(status)), last=False)
    submission.reply.push(Chunk(b"end"), last=True)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"transfer-encoding" not in head
    writer.write(PREDICT)
    (await server.inference.submitted(2)).reply.push(Chunk(b"next"), last=True)
    assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
    writer.close()


async def test_parts_that_are_there_together_are_chunks_too(server: Running) -> None:
    server.inference.on_submit = answering(b"a", b"b", b"c")
    assert await server.raw(PREDICT.replace(b"host", b"connection: close\r\nhost")) != b""
    response = await server.client.get("/predictions/m")
    assert (response.text, response.headers["transfer-encoding"]) == ("abc", "chunked")


async def test_parts_that_come_together_are_a_chunk_each(server: Running) -> None:
    """Clients read a part per chunk."""
    submission, reader, writer = await submitted(server)
    submission.reply.push_parts([Chunk(b"one"), Chunk(b""), Chunk(b"three")], 8)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(18) == b"3\r\none\r\n5\r\nthree\r\n"
    submission.reply.push(Chunk(b"end"), last=True)
    assert await reader.readexactly(13) == b"3\r\nend\r\n0\r\n\r\n"
    writer.close()


async def test_parts_that_come_together_are_an_event_each(server: Running) -> None:
    submission, reader, writer = await submitted(server, PREDICT.replace(b"host", b"accept: text/event-stream\r\nhost"))
    submission.reply.push_parts([Chunk(b"one"), Chunk(b"two")], 6)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(32) == b"b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n"
    submission.reply.push(Chunk(b""), last=True)
    writer.close()


async def test_a_client_of_http_1_0_gets_parts_without_chunks_until_the_end_of_the_connection(server: Running) -> None:
    server.inference.on_submit = answering(b"a", b"b")
    answer = await server.raw(GET_1_0)
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\nconnection: close\r\n\r\nab")


async def test_an_error_before_the_first_part_is_an_error_document(server: Running) -> None:
    server.inference.on_submit = lambda submission: submission.reply.fail(HandlerRaised())
    assert (await server.client.get("/predictions/m")).status_code == 503


async def test_an_error_after_the_first_part_ends_the_connection_without_the_last_chunk(server: Running) -> None:
    submission, reader, writer = await submitted(server)
    submission.reply.push(Chunk(b"one"), last=False)
    submission.reply.fail(WorkerDied("exit code 3"))
    answer = await reader.read()
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n")
    writer.close()


# ------------------------------------------------------------------------------------------------ events


async def test_each_part_is_an_event_for_who_accepts_them(server: Running) -> None:
    server.inference.on_submit = answering(b"one", b"two\nlines", b"", b"end")
    response = await server.client.get("/predictions/m", headers=EVENTS)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text == "data: one\n\ndata: two\ndata: lines\n\ndata: end\n\n"


async def test_a_plain_answer_is_one_event_with_the_handlers_headers(server: Running) -> None:
    server.inference.on_submit = answering(
        b"{}", meta=ResponseMeta(200, "", {"Content-Type": "application/json", "X-A": "1"})
    )
    response = await server.client.get("/predictions/m", headers=EVENTS)
    assert response.text == "data: {}\n\n"
    assert response.headers.get_list("content-type") == ["text/event-stream; charset=utf-8"]
    assert response.headers["x-a"] == "1"


async def test_an_error_in_the_middle_is_an_event_and_a_good_end(server: Running) -> None:
    def handle(submission: Submission) -> None:
        submission.reply.push(Chunk(b"one"), last=False)
        submission.reply.fail(HandlerRaised())

    server.inference.on_submit = handle
    response = await server.client.get("/predictions/m", headers=EVENTS)
    assert response.text == (
        "data: one\n\nevent: error\n"
        'data: {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}\n\n'
    )


async def test_an_error_before_the_first_event_has_its_status(server: Running) -> None:
    server.inference.on_submit = lambda submission: submission.reply.fail(HandlerRaised())
    response = await server.client.get("/predictions/m", headers=EVENTS)
    assert (response.status_code, response.json()["type"]) == (503, "InternalServerException")


@pytest.mark.parametrize("meta", [ResponseMeta(headers={"content-type": "text/event-stream"}), ResponseMeta(422)])
async def test_a_handler_that_speaks_events_itself_or_refuses_is_taken_at_its_word(
    server: Running, meta: ResponseMeta
) -> None:
    server.inference.on_submit = answering(b"data: mine\n\n", meta=meta)
    response = await server.client.get("/predictions/m", headers=EVENTS)
    assert (response.status_code, response.text) == (meta.status, "data: mine\n\n")


async def test_a_long_wait_is_bridged_by_comments(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    request = PREDICT.replace(b"host", b"accept: text/event-stream\r\nhost")
    submission, reader, writer = await submitted(server, request)
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert b": keep-alive\n\n" in await reader.readuntil(b"keep-alive\n\n")
    submission.reply.push(Chunk(b"at last"), last=True)
    rest = await reader.readuntil(b"0\r\n\r\n")
    assert b"data: at last\n\n" in rest
    writer.close()


async def test_an_error_after_a_comment_is_an_event(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    submission, reader, writer = await submitted(server, PREDICT.replace(b"host", b"accept: text/event-stream\r\nhost"))
    await reader.readuntil(b"keep-alive\n\n")
    submission.reply.fail(HandlerRaised())
    assert b"event: error\n" in await reader.readuntil(b"0\r\n\r\n")
    writer.close()


# ------------------------------------------------------------------------------------------ slow readers


async def test_no_part_is_read_ahead_of_a_client_that_does_not_read(server: Running) -> None:
    submission, reader, writer = await submitted(server)
    part = bytes(1 << 20)
    for _ in range(64):
        submission.reply.push(Chunk(part), last=False)
    await until(lambda: submission.consumed > 0)
    consumed = -1
    while consumed != submission.consumed:  # until the socket takes no more
        consumed = submission.consumed
        await asyncio.sleep(0.05)
    assert consumed < 32 << 20
    submission.reply.push(Chunk(b"end"), last=True)
    received, data = 0, b""
    while not data.endswith(b"0\r\n\r\n"):
        data = await reader.read(1 << 20)
        received += len(data)
    assert received > 64 << 20
    assert submission.reply.exhausted
    writer.close()


async def test_a_client_that_never_reads_is_let_go() -> None:
    ports = HttpPorts()
    async with ports.listener(stall_s=0.05) as listener:
        reader, writer = await wire.connect(listener.port, limit=1 << 10)
        writer.write(PREDICT)
        submission = await ports.inference.submitted()
        submission.reply.push(Chunk(bytes(32 << 20)), last=False)
        await until(lambda: submission.consumed > 0)

        def swept() -> bool:
            listener._exchanges._sweep()
            return submission.cancelled

        await until(swept)
        await until(lambda: len(connections(listener)) == 0)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(33 << 20)  # no end of the answer follows what had left before
        writer.close()


async def test_a_stream_that_stalled_is_cut_at_once(server: Running) -> None:
    submission, reader, writer = await submitted(server)
    submission.reply.push(Chunk(bytes(32 << 20)), last=False)
    await until(lambda: submission.consumed > 0)
    submission.reply.fail(StreamStalled(seconds=1))
    await until(lambda: len(connections(server.listener)) == 0)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(33 << 20)  # no end of the answer follows what had left before
    writer.close()


# ------------------------------------------------------------------------------------------ who leaves


@pytest.mark.parametrize("parts", [0, 1])
async def test_a_client_that_leaves_cancels_its_job(server: Running, parts: int) -> None:
    submission, reader, writer = await submitted(server)
    for _ in range(parts):
        submission.reply.push(Chunk(b"part"), last=False)
        await reader.readuntil(b"part\r\n")
    writer.close()
    await until(lambda: submission.cancelled)
    await until(lambda: bool(server.ports.access_log.lines))
    assert server.ports.access_log.lines[0][2] == (200 if parts else 499)
    submission.reply.push(Chunk(b"too late"), last=True)  # ignored


async def test_a_client_that_leaves_before_its_request_is_whole_causes_no_job(server: Running) -> None:
    _, writer = await server.connect()
    writer.write(b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    await writer.drain()
    writer.close()
    await until(lambda: len(connections(server.listener)) == 0)
    assert not server.inference.submissions


async def test_of_pipelined_requests_the_one_that_runs_is_cancelled_and_the_others_never_begin(server: Running) -> None:
    submission, _, writer = await submitted(server, PREDICT * 3)
    writer.transport.abort()
    submission.answer(b"x")  # what is written now meets the end of the connection
    await until(lambda: len(connections(server.listener)) == 0)
    assert len(server.inference.submissions) <= 2


# ------------------------------------------------------------------------------------------------ drain


async def test_a_drain_waits_for_open_requests_and_accepts_nothing_new() -> None:
    ports = HttpPorts()
    async with ports.listener() as listener:
        idle_reader, idle_writer = await wire.connect(listener.port)
        reader, writer = await wire.connect(listener.port)
        writer.write(PREDICT)
        submission = await ports.inference.submitted()
        drain = asyncio.create_task(listener.drain(20))
        assert await idle_reader.read() == b""  # an idle connection ends at once
        with pytest.raises(OSError):
            await wire.connect(listener.port)
        submission.answer(b"done")
        answer = await reader.read()
        assert b"connection: close" in answer
        assert answer.endswith(b"done")
        await drain
        idle_writer.close()
        writer.close()


async def test_what_a_drain_gave_up_is_told_that_the_server_stops() -> None:
    ports = HttpPorts()
    async with ports.listener() as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(PREDICT)
        submission = await ports.inference.submitted()
        await listener.drain(0.01)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"The server is stopping." in answer
        assert submission.cancelled
        writer.close()


@pytest.mark.parametrize("request_line", [b"GET /ping", b"POST /predictions/m"])
async def test_a_request_that_begins_while_a_listener_drains_is_told_that_the_server_stops(request_line: bytes) -> None:
    ports = HttpPorts()
    async with ports.listener() as listener:
        listener._exchanges.draining = True
        reader, writer = await wire.connect(listener.port)
        writer.write(request_line + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"The server is stopping." in answer
        assert not ports.inference.submissions
        writer.close()


async def test_a_stream_that_a_drain_gave_up_has_no_good_end(server: Running) -> None:
    submission, reader, writer = await submitted(server)
    submission.reply.push(Chunk(b"part"), last=False)
    await reader.readuntil(b"part\r\n")
    await server.listener.drain(0.01)
    assert await reader.read() == b""
    assert submission.cancelled
    writer.close()


@pytest.mark.parametrize("part", [b"content-length: 5\r\n\r\nhel", b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n"])
async def test_a_drain_refuses_a_request_that_is_not_whole_and_does_not_wait_for_it(part: bytes) -> None:
    ports = HttpPorts()
    async with ports.listener() as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(b"POST /predictions/m HTTP/1.1\r\nhost: x\r\n" + part)
        await until(lambda: bool(listener._exchanges.open))
        drain = asyncio.create_task(listener.drain(1000))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"The server is stopping." in answer
        writer.close()
        await drain


async def test_a_drain_does_not_cut_a_client_that_still_sends_what_was_refused(server: Running) -> None:
    """A close while it sends would reset the connection, and lose the answer."""
    reader, writer = await server.connect()
    writer.write(b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n\r\n")
    await until(lambda: server.ports.telemetry.statuses == [413])
    drain = asyncio.ensure_future(server.listener.drain(20))
    await until(lambda: not server.listener._listener._server.is_serving())  # type: ignore[union-attr]
    for _ in range(20):
        writer.write(bytes(1_000_000))
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    await drain
    writer.close()


async def test_the_next_client_is_served_after_all_of_that(server: Running) -> None:
    server.inference.on_submit = echo
    assert (await server.client.post("/predictions/m", content=b"x")).text == "x"
