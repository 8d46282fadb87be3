"""A server that is told to stop answers all that it has accepted, and its clients get to read the answers."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest
from h2_peer import DATA, END_STREAM, OK, PING, PREFACE, UNAVAILABLE, WINDOW_UPDATE, frame, message
from hostile_kit import Attacker, calls, port_of
from torchserve_kit import archive
from waiting import wait_until

from stoker.client import CallError, Client
from stoker.protos import inference_pb2
from stoker.testing.server import RunningServer, running_server

HANDLER = """
import time
from pathlib import Path
from ts.handler_utils.utils import send_intermediate_predict_response

def handle(data, context):
    if data is None:
        return None
    values = [bytes(row["data"] if "data" in row else row["body"]) for row in data]
    if values[0] == b"large":
        return [bytes(LARGE)]
    Path(f"{values[0].decode()}.begun").touch()
    send_intermediate_predict_response(["begun,"], context.request_ids, "", 200, context)
    for _ in range(6000):
        if Path(values[0].decode()).exists():
            break
        time.sleep(0.01)
    return ["ended"]
"""
LARGE = 16_000_000  # more than the buffers of a socket take
DRAIN_TIMEOUT_S = 60
ENGINES = ("nghttp2", "grpcio")


@pytest.fixture(params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    model = archive(tmp_path / "models", "m", HANDLER.replace("LARGE", str(LARGE)))
    settings = {
        "load_models": "all",
        "default_workers_per_model": 1,
        "max_response_size": 2 * LARGE,
        "drain_timeout": DRAIN_TIMEOUT_S,
        "grpc_engine": request.param,
    }
    with running_server(archives=[model], settings=settings) as running:
        yield running


def begin_drain(server: RunningServer) -> None:
    """Returns once the server takes no more connections over REST."""
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not _accepts(port_of(server.inference)), "the server drains")


def _accepts(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True
    return False


def assert_ended_well(server: RunningServer) -> None:
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.console
    assert "died" not in server.console


def test_what_runs_waits_and_streams_when_a_stop_comes_is_answered_whole(server: RunningServer, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("streams", "runs", "waits")]
    with Client(server.endpoint) as client, ThreadPoolExecutor(3) as threads:
        stream = client.predict_stream("m", names[0], timeout=60)
        assert next(stream).text == "begun,"
        answers = [threads.submit(client.predict, "m", name, timeout=60) for name in names[1:]]
        wait_until(lambda: queued(client) == 2, "two requests wait")
        begin_drain(server)
        with pytest.raises(CallError) as refused:
            client.predict("m", b"new", timeout=60)
        assert refused.value.code == grpc.StatusCode.UNAVAILABLE
        for name in names:
            Path(name).touch()
        assert [part.text for part in stream] == ["ended"]
        assert [answer.result().text for answer in answers] == ["begun,ended"] * 2
    assert_ended_well(server)


def queued(client: Client) -> int:
    return int(client.describe("m")[0]["jobQueueStatus"]["pendingRequests"])


def test_a_stop_waits_for_those_who_still_read_their_answers(server: RunningServer) -> None:
    request = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"large"}).SerializeToString()
    post = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nlarge"
    with Attacker(port_of(server.endpoint.inference)) as over_grpc, Attacker(port_of(server.inference)) as over_rest:
        over_grpc.greet()
        over_grpc.push(calls(1, lambda id: frame(DATA, END_STREAM, int.from_bytes(id, "big"), message(request))))
        over_grpc.read_until(lambda: any(kind == DATA for kind, *_ in over_grpc.frames()))
        over_rest.push(post)
        over_rest.read_until(lambda: len(over_rest.received) > 0)
        begin_drain(server)
        wide = (LARGE * 2).to_bytes(4, "big")
        over_grpc.push(frame(WINDOW_UPDATE, 0, 0, wide) + frame(WINDOW_UPDATE, 0, 1, wide))
        over_grpc.read_until(lambda: len(over_grpc.received) > LARGE and 1 in over_grpc.trailers())
        over_rest.read_to_the_end()
        received = sum(len(payload) for kind, *_, payload in over_grpc.frames() if kind == DATA)
        assert received > LARGE
        assert over_grpc.trailers() == {1: OK}
        head, _, body = over_rest.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert len(body) == LARGE
    assert_ended_well(server)


def test_a_stop_waits_for_nobody_to_whom_no_work_is_due(server: RunningServer) -> None:
    grpc_port, rest_port = port_of(server.endpoint.inference), port_of(server.inference)
    post = b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
    with ExitStack() as stack:

        def attacker(port: int, sent: bytes = b"") -> Attacker:
            opened = stack.enter_context(Attacker(port))
            opened.push(sent)
            return opened

        idle = [attacker(port, sent) for port, sent in ((grpc_port, PREFACE[:8]), (rest_port, post[:9]))]
        idle += [attacker(grpc_port), attacker(rest_port)]
        kept = attacker(rest_port, b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
        kept.read_until(lambda: b"Healthy" in kept.received)
        half_over_rest = attacker(rest_port, post + b"hel")
        half_over_grpc = attacker(grpc_port)
        half_over_grpc.greet()
        half_over_grpc.push(calls(1, lambda id: frame(DATA, 0, int.from_bytes(id, "big"), message(bytes(9))[:9])))
        half_over_grpc.push(frame(PING, 0, 0, bytes(8)))
        half_over_grpc.read_until(lambda: any(kind == PING for kind, *_ in half_over_grpc.frames()))
        server.process.send_signal(signal.SIGTERM)
        assert half_over_rest.read_to_the_end().startswith(b"HTTP/1.1 503 ")
        half_over_grpc.read_to_the_end()
        assert half_over_grpc.trailers() == {1: UNAVAILABLE}
        for one in (*idle, kept):
            one.read_to_the_end()
        assert kept.received.count(b"HTTP/1.1") == 1
        assert server.process.wait(DRAIN_TIMEOUT_S / 2) == 0
    assert "Traceback" not in server.console


def test_a_second_stop_ends_what_runs_with_one_answer_each(server: RunningServer, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    rest_port = port_of(server.inference)
    with Attacker(rest_port) as over_rest, Client(server.endpoint) as client, ThreadPoolExecutor(2) as threads:
        runs = threads.submit(client.predict, "m", never, timeout=60)
        wait_until(lambda: Path(f"{never}.begun").exists(), "a request runs")
        over_rest.push(b"POST /predictions/m HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx")
        wait_until(lambda: queued(client) == 1, "a request waits")
        begin_drain(server)
        server.process.send_signal(signal.SIGTERM)
        answer = over_rest.read_to_the_end()
        assert (answer.count(b"HTTP/1.1"), answer[:13]) == (1, b"HTTP/1.1 503 ")
        with pytest.raises(CallError) as refused:
            runs.result()
        assert refused.value.code == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(DRAIN_TIMEOUT_S / 2) == 0
    assert "Traceback" not in server.console
