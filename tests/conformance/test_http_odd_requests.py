"""Requests that are odd, hostile or broken, as bare bytes: a clear error or the right answer, and nothing worse."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
import wire
from http_fakes import LIMIT, HttpPorts, Running, connections, echo, running
from leaks import telltale
from waiting import until

from stoker.frontend import lingering
from stoker.frontend.http import request_head
from stoker.frontend.http.protocol import HttpConnection
from stoker.frontend.listener import Limits

pytestmark = pytest.mark.usefixtures("wire")

POST = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(HttpPorts()) as it:
        it.inference.on_submit = echo
        yield it
        it.inference.on_submit = echo
        assert (await it.client.post("/predictions/m", content=b"still here")).text == "still here"


def parsed(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:100]
    status = int(head.split(b" ")[1])
    assert status < 400 or telltale(answer.decode("latin-1")) is None
    return status, body


GARBAGE = {
    "no http": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "binary": bytes(range(256)),
    "an unknown method": b"SPAM / HTTP/1.1\r\n\r\n",
    "http 9": b"GET / HTTP/9.9\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
    "a nul in a value": b"GET / HTTP/1.1\r\na: b\x00c\r\n\r\n",
    "two lengths": POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "a length and chunks": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "a length that is not a number": POST + b"content-length: x\r\n\r\n",
    "a negative length": POST + b"content-length: -1\r\n\r\n",
    "a length beyond all numbers": POST + b"content-length: 99999999999999999999999\r\n\r\n",
    "a chunk size that is not a number": POST + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
    "an unknown coding": POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a bare line feed in a header": POST + b"x: a\nb\r\n\r\n",
    "a bare carriage return in a header": POST + b"x: a\rb\r\n\r\n",
    "a header that goes on in the next line": POST + b"x: a\r\n b\r\n\r\n",
    "lines that end without a carriage return": b"GET /ping HTTP/1.1\nhost: x\n\n",
    "two hosts": b"GET /ping HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "two authorizations": POST + b"authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two lengths that agree": POST + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "a list of lengths": POST + b"content-length: 1, 1\r\n\r\nx",
    "a length with a sign": POST + b"content-length: +1\r\n\r\nx",
    "two codings": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /predictions/m HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"transfer-encoding: identity\r\n\r\n",
    "a space before the colon": POST + b"content-length : 1\r\n\r\nx",
    "HTTP/2.0 in the first line": b"GET /ping HTTP/2.0\r\nhost: x\r\n\r\n",
    "HTTP/0.9": b"GET /ping\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_http_is_a_400_and_the_end_of_the_connection(server: Running, name: str) -> None:
    status, body = parsed(await server.raw(GARBAGE[name]))
    assert status == 400
    assert json.loads(body)["type"] == "BadRequestException"
    assert not server.inference.submissions


HEADS = {
    "one long header": POST + b"x: " + b"y" * (2 * Limits().head_bytes) + b"\r\n\r\n",
    "one header that never ends": POST + b"x: " + b"y" * (8 * Limits().head_bytes),
    "many headers": POST + b"".join(b"x%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
    "a hundred thousand query parameters": b"GET /ping?" + b"a=1&" * 100_000 + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_beyond_all_measure_is_a_431(server: Running, name: str) -> None:
    status, body = parsed(await server.raw(HEADS[name]))
    assert status == 431
    assert json.loads(body)["code"] == 431
    assert not server.inference.submissions


async def test_a_header_just_below_the_limit_is_taken(server: Running) -> None:
    status, _ = parsed(await server.raw(POST + b"x: " + b"y" * (Limits().head_bytes - 500) + b"\r\n\r\n"))
    assert status == 200


NAMES = {
    b"%00": "\x00",
    b"..%2f..%2fetc": "..",
    b"..": "..",
    b"%2e%2e": "..",
    b"n" * 300: "n" * 300,
    b"%F0%9F%98%80": "\U0001f600",
    b"%FF": "\ufffd",
    b"a%0d%0ax": "a\r\nx",
}


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_is_but_a_name_to_look_up(server: Running, name: bytes) -> None:
    """Whether a model of such a name exists is the registry's to say."""
    status, _ = parsed(
        await server.raw(b"GET /predictions/" + name + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    )
    assert status == 200
    assert server.inference.submissions[0].model == NAMES[name]


@pytest.mark.parametrize(
    "target", [b"http://elsewhere/predictions/m", b"http://x:99/predictions/m?a=1", b"https://u@h/predictions/m"]
)
async def test_the_absolute_form_is_its_path(server: Running, target: bytes) -> None:
    status, _ = parsed(await server.raw(b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    assert status == 200
    assert server.inference.submissions[0].model == "m"


@pytest.mark.parametrize("request_line", [b"OPTIONS * HTTP/1.1", b"CONNECT x:80 HTTP/1.1", b"GET x HTTP/1.1"])
async def test_other_forms_of_a_target_are_refused(server: Running, request_line: bytes) -> None:
    status, _ = parsed(await server.raw(request_line + b"\r\nhost: x\r\nconnection: close\r\n\r\n"))
    assert status in (400, 404)


async def test_http_1_0_is_answered_and_its_connection_closed(server: Running) -> None:
    answer = await server.raw(b"POST /predictions/m HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello")
    assert parsed(answer) == (200, b"hello")
    assert b"connection: close" in answer


async def test_a_client_of_http_1_0_may_keep_its_connection(server: Running) -> None:
    """As `ab -k` does, which looks for Content-Length in just this spelling."""
    reader, writer = await server.connect()
    head = b"POST /predictions/m HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n"
    for body in (b"ab", b"cd"):
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nconnection: keep-alive\r\n" in answer
        assert b"\r\nContent-Length: 2\r\n" in answer
        assert await reader.readexactly(2) == body
    writer.close()


SPEAKS_GRPC = {
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "a call over HTTP/1.1": POST + b"content-type: application/grpc\r\ncontent-length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", SPEAKS_GRPC)
async def test_who_speaks_grpc_here_is_told_where_it_is_served(name: str) -> None:
    async with running(HttpPorts(other_port_hint="gRPC is served on port 7070.")) as server:
        status, body = parsed(await server.raw(SPEAKS_GRPC[name]))
        assert status == 400
        assert "gRPC is served on port 7070." in json.loads(body)["message"]


async def test_an_upgrade_is_ignored_and_the_request_answered(server: Running) -> None:
    """curl offers HTTP/2 in this way."""
    offer = b"connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
    answer = await server.raw(
        b"POST /predictions/m HTTP/1.1\r\nhost: x\r\n" + offer + b"content-length: 5\r\n\r\nhello"
    )
    assert parsed(answer) == (200, b"hello")


async def test_a_range_is_ignored_and_the_answer_whole(server: Running) -> None:
    status, body = parsed(await server.raw(POST + b"range: bytes=0-1\r\ncontent-length: 5\r\n\r\nhello"))
    assert (status, body) == (200, b"hello")


async def test_expect_is_answered_before_the_body_is_sent(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(POST + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    assert parsed(await reader.read()) == (200, b"hello")
    writer.close()


async def test_expect_of_too_large_a_body_is_refused_before_it_is_sent(server: Running) -> None:
    status, body = parsed(await server.raw(POST + b"expect: 100-continue\r\ncontent-length: 2000000000\r\n\r\n"))
    assert (status, body) == (413, b"")


@pytest.mark.parametrize("expect", [b"expect: 100-continue\r\n", b""])
async def test_an_answer_before_the_end_of_its_request_says_that_the_connection_closes(
    server: Running, expect: bytes
) -> None:
    answer = await server.raw(b"POST /ping HTTP/1.1\r\nhost: x\r\n" + expect + b"content-length: 5\r\n\r\n")
    assert parsed(answer)[0] == 200
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("length", [LIMIT + 1, 2 << 30])
async def test_a_declared_length_beyond_the_limit_is_refused_at_once(server: Running, length: int) -> None:
    assert parsed(await server.raw(POST + b"content-length: %d\r\n\r\nabc" % length)) == (413, b"")


async def test_a_client_that_sends_on_still_reads_why_it_was_refused(server: Running) -> None:
    """Closed under its hands, its answer would be lost in a reset."""
    reader, writer = await server.connect()
    writer.write(POST + b"content-length: 20000000\r\n\r\n")
    for _ in range(20):
        writer.write(bytes(1_000_000))
        await asyncio.sleep(0)
    assert parsed(await reader.read()) == (413, b"")
    writer.close()


@pytest.mark.parametrize("last", [b"HTTP/1.1\r\nconnection: close\r\n", b"HTTP/1.0\r\n"], ids=["close", "1.0"])
@pytest.mark.parametrize("when", ["with it", "after its answer"])
async def test_what_a_client_sends_after_its_last_request_costs_it_no_byte_of_the_answer(
    server: Running, last: bytes, when: str
) -> None:
    size = 1_000_000  # what the kernel takes of a client that does not read yet
    server.inference.on_submit = lambda submission: submission.answer(bytes(size))
    reader, writer = await server.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request, more = b"GET /predictions/m " + last + b"host: x\r\n\r\n", b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n" * 9
    writer.write(request + more if when == "with it" else request)
    await until(lambda: server.ports.telemetry.statuses == [200])
    await asyncio.sleep(0.1)  # by now, the server would have closed
    writer.write(more)
    await asyncio.sleep(0.1)
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert parsed(await reader.read()) == (200, bytes(size))
    writer.close()


async def test_a_client_that_never_closes_is_not_waited_for_longer_than_it_reads(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "LINGER_S", 0.1)
    server.inference.on_submit = lambda submission: submission.answer(bytes(1_000_000))
    _, writer = await server.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(POST + b"\r\n")
    await until(lambda: server.ports.telemetry.statuses == [200])
    await until(lambda: not connections(server.listener))
    writer.transport.abort()


async def test_a_body_in_a_hundred_thousand_chunks_of_one_byte_is_one_body(server: Running) -> None:
    body = b"1\r\nx\r\n" * LIMIT + b"0\r\n\r\n"
    assert parsed(await server.raw(POST + b"transfer-encoding: chunked\r\n\r\n" + body)) == (200, b"x" * LIMIT)


async def test_a_thousand_pipelined_requests_are_answered_in_order(server: Running) -> None:
    requests = [
        b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n%04d" % number
        if number % 10
        else b"GET /ping?%04d HTTP/1.1\r\nhost: x\r\n\r\n" % number
        for number in range(1000)
    ]
    answer = await server.raw(b"".join(requests) + POST + b"content-length: 3\r\n\r\nend")
    bodies = [part.split(b"HTTP/1.1")[0] for part in answer.split(b"\r\n\r\n")[1:]]
    assert len(bodies) == 1001
    assert [body for body in bodies if body.isdigit()] == [b"%04d" % number for number in range(1000) if number % 10]
    assert bodies[-1] == b"end"


async def test_a_head_that_begins_like_the_one_before_is_another(server: Running) -> None:
    reader, writer = await server.connect()
    for body in (b"a", b"b" * 10, b"c" * 2, b"d"):
        writer.write(b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
    writer.close()


async def test_a_short_head_may_follow_a_long_one_that_came_in_pieces(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\nlong: " + b"y" * 1000)
    assert await server.raw(b"GET /ping HTTP/1.0\r\n\r\n")  # the piece has arrived
    writer.write(b"\r\n\r\n")
    await reader.readuntil(b"}\n")
    writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_much_that_comes_at_once_is_not_one_large_head(server: Running) -> None:
    reader, writer = await server.connect()
    request = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n" + bytes(2000)
    writer.write(request * 100 + b"GET /ping HTTP/1.1\r\nhost: x\r\nx: half")
    for _ in range(100):
        await reader.readuntil(bytes(2000))
    writer.write(b"\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_after_an_error_no_pipelined_request_is_answered(server: Running) -> None:
    answer = await server.raw(b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n" + POST + b"\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert not server.inference.submissions


async def test_the_access_log_names_a_refused_request_not_the_one_behind_it(server: Running) -> None:
    refused = b"POST /predictions/refused HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"
    answer = await server.raw(refused + b"GET /behind HTTP/1.1\r\nhost: x\r\n\r\n")
    assert parsed(answer)[0] == 400
    await until(lambda: bool(server.ports.access_log.lines))
    assert [(line[1].split()[1], line[2]) for line in server.ports.access_log.lines] == [("/predictions/refused", 400)]


async def test_garbage_behind_a_good_request_does_not_cost_its_answer(server: Running) -> None:
    good = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    answer = await server.raw(good + b"garbage\r\n\r\n")
    assert b"\r\n\r\nhello" in answer


async def test_of_pipelined_requests_the_one_with_a_broken_body_is_refused_and_those_before_it_answered(
    server: Running,
) -> None:
    good = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    answer = await server.raw(good + good + POST + b"transfer-encoding: chunked\r\n\r\nxyz\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"HTTP/1.1 400 ") == 1


async def test_a_broken_body_of_another_path_is_a_400_too(server: Running) -> None:
    head = b"POST /ping HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    status, _ = parsed(await server.raw(head + b"xyz\r\n"))
    assert status in (200, 400)  # /ping does not look at its body


FORMS = {
    "more parts than a form may have": (
        b"multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 1700 + b"--B--\r\n",
    ),
    "a boundary of fifty thousand bytes": (b"multipart/form-data; boundary=" + b"B" * 50_000, b"--" + b"B" * 50_000),
    "many almost-boundaries": (b"multipart/form-data; boundary=" + b"-" * 70 + b"x", b"-" * LIMIT),
    "a form that does not hold its boundary": (b"multipart/form-data; boundary=B", b"x"),
    "too many fields": (b"application/x-www-form-urlencoded", b"a&" * 50_000),
}


@pytest.mark.parametrize("name", FORMS)
async def test_an_absurd_form_is_a_400(server: Running, name: str) -> None:
    content_type, body = FORMS[name]
    response = await server.client.post("/predictions/m", content=body, headers={b"content-type": content_type})
    assert (response.status_code, response.json()["type"]) == (400, "BadRequestException")


async def test_a_head_that_comes_byte_by_byte_is_a_head(server: Running) -> None:
    reader, writer = await server.connect()
    for byte in POST + b"content-length: 2\r\n\r\nhi":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert parsed(await reader.read()) == (200, b"hi")
    writer.close()


async def test_no_byte_of_a_large_head_costs_more_than_the_one_before(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    def check(raw: bytearray, *, limit: int, checked: int = 0) -> None:
        looked_at.append(len(raw) - checked)

    monkeypatch.setattr(request_head, "check_partial_head", check)
    reader, writer = await server.connect()
    writer.write(POST + b"x: " + b"y" * 2000)
    await until(lambda: bool(looked_at))
    first = len(looked_at)
    for byte in b"z" * 50 + b"\r\ncontent-length: 2\r\n\r\nhi":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.001)
    assert parsed(await reader.read()) == (200, b"hi")
    assert len(looked_at) > first and max(looked_at[first:]) < 200
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /pi", POST, POST + b"content-length: 5\r\n\r\nab"])
async def test_who_does_not_go_on_with_a_request_is_let_go(sent: bytes) -> None:
    async with HttpPorts().listener(limits=Limits(slow_s=0.01, head_s=0.01)) as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(sent)
        await asyncio.sleep(0.1)
        listener._connections.sweep()
        if sent:
            assert await reader.read() == b""
        else:
            assert len(connections(listener)) == 1  # between requests a client may take its time
        writer.close()


async def test_a_connection_that_nobody_uses_for_very_long_is_closed_and_not_before() -> None:
    async with HttpPorts().listener() as listener:
        reader, writer = await wire.connect(listener.port)
        writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"Healthy" in await reader.readuntil(b"}\n")
        (connection,) = listener._connections.open
        connection.check_timeouts(time.monotonic() + 500)
        assert len(connections(listener)) == 1
        connection.check_timeouts(time.monotonic() + 700)
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_does_not_read_the_end_of_its_answer_keeps_no_connection() -> None:
    async with HttpPorts().listener() as listener:
        _, writer = await wire.connect(listener.port)
        await until(lambda: len(connections(listener)) == 1)
        (connection,) = listener._connections.open
        assert isinstance(connection, HttpConnection)
        below = getattr(connection._transport, "_below", connection._transport)
        below.set_write_buffer_limits(high=100_000_000)  # as with a small rest, nobody is told to pause
        connection.write(bytes(20_000_000))
        connection._close_after_output()
        connection.check_timeouts(time.monotonic() + 50)
        assert len(connections(listener)) == 1
        connection.check_timeouts(time.monotonic() + 70)
        await until(lambda: len(connections(listener)) == 0)
        writer.close()
