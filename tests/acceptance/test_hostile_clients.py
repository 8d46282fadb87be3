"""Attacks on the listeners of a real server, at full size.

Each must leave a neighbour's answers right, the server's memory within bounds meanwhile and as before in the end, and
no word of a fault in its log.  The bounds follow from the budgets, with a margin for what the allocator takes.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from benchmarks.bombs import bomb
from h2_peer import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    OK,
    PING,
    PRIORITY,
    REQUEST,
    RESOURCE_EXHAUSTED,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    message,
)
from hostile_kit import HANDLER, MIB, Attacker, Footprint, Neighbour, calls, digest, port_of
from torchserve_kit import archive

from stoker.frontend import open_files
from stoker.protos import inference_pb2
from stoker.testing.server import RunningServer, running_server

BUDGET = 64 * MIB
MARGIN = 32 * MIB  # what the allocator keeps, and a turn of large messages
LARGE = 6_000_000
IDLE = 10_000
SETTINGS_OF_SERVER = {
    "load_models": "all",
    "default_workers_per_model": 1,
    "job_queue_size": 1000,
    "max_buffered_request_bytes": BUDGET,
    "max_buffered_response_bytes": BUDGET,
    "max_connections": IDLE + 100,
}
WIDE = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + ((1 << 31) - 1).to_bytes(4, "big")
PING_METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping"
POST = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    model = archive(tmp_path_factory.mktemp("archives") / "models", "m", HANDLER)
    with running_server(archives=[model], settings=SETTINGS_OF_SERVER) as running:
        with Neighbour(running):
            pass  # what it takes once is not what an attack costs
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.console
        assert "died" not in running.console


def grpc(server: RunningServer) -> Attacker:
    return Attacker(port_of(server.endpoint.inference))


def rest(server: RunningServer) -> Attacker:
    return Attacker(port_of(server.inference))


# ------------------------------------------------------------------------------------------------- floods of frames


@pytest.mark.parametrize("asked", [False, True], ids=["as they begin", "as they are asked"])
def test_a_hundred_thousand_resets_on_each_of_several_connections(server: RunningServer, asked: bool) -> None:
    request = message(REQUEST)

    def then(id: bytes) -> bytes:
        stream = int.from_bytes(id, "big")
        return (frame(DATA, END_STREAM, stream, request) if asked else b"") + frame(RST_STREAM, 0, stream, CANCEL)

    resets = calls(100_000, then)
    before = Footprint(server)
    with Neighbour(server) as neighbour:
        for _ in range(5):
            with grpc(server) as attacker:
                attacker.greet()
                attacker.push(resets)
                attacker.read_to_the_end()
        neighbour.goes_on()
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


CONTINUED = frame(HEADERS, 0, 1, b"\x82")
FLOODS = {
    "pings": frame(PING, 0, 0, bytes(8)) * 1_000_000,
    "settings": frame(SETTINGS, 0, 0) * 1_000_000,
    "settings of the table": frame(SETTINGS, 0, 0, b"\x00\x01\x00\x00\x00\x00" + b"\x00\x01\x00\x00\x10\x00") * 500_000,
    "priorities": frame(PRIORITY, 0, 1, b"\x00\x00\x00\x03\x10") * 1_000_000,
    "window updates": frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x00\x01") * 1_000_000,
    "unknown": frame(11, 0, 0, b"unknown") * 1_000_000,
    "continuations": CONTINUED + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b") * 500_000,
    "empty continuations": CONTINUED + frame(CONTINUATION, 0, 1) * 1_000_000,
    "full continuations": CONTINUED + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3_200) * 4_000,
    "one header in many": CONTINUED + b"".join([frame(CONTINUATION, 0, 1, b"\x00\x7f\xff\xff\xff\x07")] * 100_000),
}


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames(server: RunningServer, name: str, reading: bool) -> None:
    before = Footprint(server)
    with Neighbour(server) as neighbour, ExitStack() as crowd:
        for _ in range(3):
            attacker = crowd.enter_context(grpc(server))
            attacker.greet()
            attacker.push(FLOODS[name], reading=reading)
            if reading:
                attacker.read_to_the_end()
        neighbour.goes_on()
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


# ------------------------------------------------------------------------------------- bodies cut small or never sent


def test_a_message_in_a_million_frames_of_one_byte(server: RunningServer) -> None:
    value = b"x" * 1_000_000
    body = message(inference_pb2.PredictionsRequest(model_name="m", input={"data": value}).SerializeToString())
    frames = b"".join([b"\x00\x00\x01\x00\x00\x00\x00\x00\x01" + body[at : at + 1] for at in range(len(body))])
    before = Footprint(server)
    with Neighbour(server), grpc(server) as attacker:
        attacker.greet(b"", calls(1, lambda _: b""))
        sent = 0
        while sent < len(body):
            attacker.read_until(lambda sent=sent: attacker.window() > sent)  # type: ignore[misc]
            room = min(attacker.window(), len(body))
            attacker.push(frames[10 * sent : 10 * room])
            sent = room
        attacker.push(frame(DATA, END_STREAM, 1))
        attacker.read_until(lambda: 1 in attacker.trailers())
        assert attacker.trailers() == {1: OK}
        assert digest(value) in attacker.received
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


def test_a_body_in_a_million_chunks_of_one_byte(server: RunningServer) -> None:
    before = Footprint(server)
    with Neighbour(server), rest(server) as attacker:
        attacker.push(POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n")
        attacker.push(b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n")
        assert attacker.read_to_the_end().endswith(b"\r\n\r\n" + digest(b"x" * 1_000_000))
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


def test_a_thousand_messages_of_two_gigabytes_are_refused_by_their_length(server: RunningServer) -> None:
    prefix = message(b"", length=2 << 30)
    announced = calls(1000, lambda id: frame(DATA, 0, int.from_bytes(id, "big"), prefix + bytes(50)))
    before = Footprint(server)
    with Neighbour(server), grpc(server) as attacker:
        attacker.greet()
        attacker.push(announced)
        attacker.read_until(lambda: len(attacker.trailers()) == 1000)
        assert set(attacker.trailers().values()) == {RESOURCE_EXHAUSTED}
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


def test_bodies_of_two_gigabytes_are_refused_by_their_length(server: RunningServer) -> None:
    before = Footprint(server)
    with Neighbour(server), ExitStack() as crowd:
        attackers = [crowd.enter_context(rest(server)) for _ in range(200)]
        for attacker in attackers:
            attacker.push(POST + b"content-length: %d\r\n\r\n" % (2 << 30) + bytes(100_000))
        for attacker in attackers:
            attacker.read_until(lambda attacker=attacker: b"\r\n\r\n" in attacker.received)  # type: ignore[misc]
            assert attacker.received.startswith(b"HTTP/1.1 413 ")
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_half_of_a_large_request_from_each_of_many_clients(server: RunningServer, protocol: str) -> None:
    """Together they announce ten times what the server has room for."""
    before = Footprint(server)
    with Neighbour(server) as neighbour, ExitStack() as crowd:
        for _ in range(10 * BUDGET // LARGE):
            if protocol == "gRPC":
                attacker = crowd.enter_context(grpc(server))
                attacker.greet(b"", calls(1, lambda _: b""), frame(DATA, 0, 1, message(bytes(11), length=LARGE)))
                body = frame(DATA, 0, 1, bytes(16_384)) * (attacker_room(attacker) // 16_384)
                attacker.push(body)
            else:
                attacker = crowd.enter_context(rest(server))
                attacker.push(POST + b"content-length: %d\r\n\r\n" % LARGE + bytes(LARGE // 2), reading=False)
        neighbour.goes_on()
        assert before.peak_growth < BUDGET + MARGIN
    before.wait_until_back(MARGIN)


def attacker_room(attacker: Attacker) -> int:
    """Returns the window that an announced message gets; one that has to wait gets none."""
    attacker.push(frame(PING, 0, 0, b"announce"))
    attacker.read_until(lambda: b"announce" in attacker.received)
    return min(attacker.window(), LARGE // 2)


# ------------------------------------------------------------------------------------------------- nothing read


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_large_answers_that_nobody_reads(server: RunningServer, protocol: str) -> None:
    """Together they are ten times what the server keeps."""
    asked = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"large"}).SerializeToString()
    before = Footprint(server)
    with Neighbour(server) as neighbour, ExitStack() as crowd:
        for _ in range(10 * BUDGET // LARGE):
            if protocol == "gRPC":
                attacker = crowd.enter_context(grpc(server))
                attacker.greet(WIDE, frame(WINDOW_UPDATE, 0, 0, b"\x7f\x00\x00\x00"))
                attacker.push(calls(1, lambda _: frame(DATA, END_STREAM, 1, message(asked))), reading=False)
            else:
                attacker = crowd.enter_context(rest(server))
                attacker.push(POST + b"content-length: 5\r\n\r\nlarge", reading=False)
        neighbour.goes_on()
        assert before.peak_growth < BUDGET + MARGIN + LARGE
    before.wait_until_back(MARGIN)


def test_a_hundred_thousand_pipelined_requests_whose_answers_nobody_reads(server: RunningServer) -> None:
    before = Footprint(server)
    requests = (POST + b"content-length: 5\r\n\r\nhello") * 100_000
    with Neighbour(server) as neighbour, rest(server) as attacker:
        assert attacker.push(requests, reading=False) < len(requests)
        neighbour.goes_on()
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


def test_two_thousand_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    before = Footprint(server)
    bodies = [b"%05d" % number for number in range(2_000)]
    with Neighbour(server), rest(server) as attacker:
        attacker.push(b"".join([POST + b"content-length: 5\r\n\r\n" + body for body in bodies]))
        attacker.push(POST + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        answers = [answer.split(b"HTTP/1.1")[0] for answer in attacker.read_to_the_end().split(b"\r\n\r\n")[1:]]
        assert answers == [*map(digest, bodies), digest(b"")]
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


# ------------------------------------------------------------------------------------------------- unpacked, parsed


def test_messages_of_a_megabyte_that_would_unpack_to_a_gigabyte_over_grpc(server: RunningServer) -> None:
    body, before = message(bomb(), packed=True), Footprint(server)
    with Neighbour(server):
        for _ in range(5):
            with grpc(server) as attacker:
                attacker.greet(b"", calls(1, lambda _: b"", ("grpc-encoding", "gzip")))
                sent = 0
                while sent < len(body) and 1 not in attacker.trailers():
                    attacker.push(frame(DATA, 0, 1, body[sent : sent + 16_000]))
                    sent += 16_000
                    attacker.read_until(lambda sent=sent: attacker.window() >= sent + 16_000 or sent >= len(body))  # type: ignore[misc]
                attacker.push(frame(DATA, END_STREAM, 1))
                attacker.read_until(lambda: 1 in attacker.trailers())
                assert attacker.trailers() == {1: RESOURCE_EXHAUSTED}
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


def test_bodies_of_a_megabyte_that_would_unpack_to_a_gigabyte_over_rest(server: RunningServer) -> None:
    body, before = bomb(), Footprint(server)
    head = (
        b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n"
    )
    with Neighbour(server):
        for _ in range(5):
            with rest(server) as attacker:
                attacker.push(head + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                assert attacker.read_to_the_end().startswith(b"HTTP/1.1 413 ")
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


FORMS = {
    "a hundred thousand parts": (b"B", b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100_000),
    "almost its boundary, six million times": (b"-" * 70 + b"x", b"-" * 6_000_000),
    "a boundary of a megabyte": (b"B" * 1_000_000, b"--" + b"B" * 1_000_000),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_absurd_form(server: RunningServer, name: str) -> None:
    boundary, body = FORMS[name]
    head = POST + b"connection: close\r\ncontent-type: multipart/form-data; boundary=" + boundary
    before = Footprint(server)
    with Neighbour(server), rest(server) as attacker:
        attacker.push(head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert attacker.read_to_the_end().startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
        assert before.peak_growth < MARGIN
    before.wait_until_back(MARGIN)


# ------------------------------------------------------------------------------------------------- a crowd


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and open_files.of_one_listener(hard) < IDLE + 10:
        pytest.skip(f"a server that may open {hard} files takes fewer than {IDLE:,} connections at a listener")
    most = 2 * IDLE if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, 2 * IDLE)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(("protocol", "most_each"), [("REST", 16 << 10), ("gRPC", 48 << 10)])
def test_ten_thousand_idle_connections(server: RunningServer, protocol: str, most_each: int) -> None:
    """Each has had an answer, so that it holds what a connection ever holds."""
    port = port_of(server.endpoint.inference if protocol == "gRPC" else server.inference)
    before = Footprint(server)
    with Neighbour(server) as neighbour, ExitStack() as crowd:
        attackers = [crowd.enter_context(Attacker(port)) for _ in range(IDLE)]
        call = calls(1, lambda _: frame(DATA, END_STREAM, 1, message(b"")), path=PING_METHOD)
        ping = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"
        for attacker in attackers:
            attacker.greet(b"", call) if protocol == "gRPC" else attacker.push(ping)
        for attacker in attackers:
            attacker.read_until(lambda attacker=attacker: is_answered(attacker))  # type: ignore[misc]
            assert not attacker.closed
        neighbour.goes_on()
        assert before.peak_growth < IDLE * most_each
    before.wait_until_back(2 * MARGIN)  # more than of others stays with the allocator, and far less than the crowd took


def is_answered(attacker: Attacker) -> bool:
    return b"Healthy" in attacker.received if attacker.received.startswith(b"HTTP") else bool(attacker.trailers())
