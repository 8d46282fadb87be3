"""Many requests at a time in one worker of an asynchronous handler: a real server, both engines and REST."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from model_kit import model_directory

from stoker.client import CallError, Client
from stoker.testing.server import RunningServer, running_server

NAME = "concurrent_jobs"
CALL_S = 60.0
HANDLER = Path(__file__).resolve().parents[1] / "handlers" / "concurrent_jobs.py"
CONFIG = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nasyncCommunication: true\nresponseTimeout: 2\n"


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    files = {HANDLER.name: HANDLER.read_text()}
    model = model_directory(tmp_path_factory.mktemp("archives"), NAME, HANDLER.name, files=files, config=CONFIG)
    settings = {"grpc_engine": request.param, "load_models": "all"}
    with running_server(archives=[model], settings=settings) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.endpoint) as client:
        yield client


def asked(**facts: Any) -> bytes:
    return json.dumps(facts or {"parts": 1}).encode()


def by_unary(client: Client, payload: bytes) -> str:
    return client.predict(NAME, payload, timeout=CALL_S).text


def by_stream(client: Client, payload: bytes) -> str:
    return "".join(part.text for part in client.predict_stream(NAME, payload, timeout=CALL_S))


def posted(server: RunningServer, payload: bytes) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(urlsplit(server.inference).netloc, timeout=CALL_S)) as connection:
        connection.request("POST", f"/predictions/{NAME}", payload)
        with connection.getresponse() as response:
            return response.status, response.read().decode()


def counted(client: Client) -> dict[str, int]:
    counts: dict[str, int] = json.loads(by_unary(client, asked(count=True)))
    return counts


def ended(call: Any) -> grpc.StatusCode:
    with pytest.raises(CallError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code
    return code


def test_a_hundred_requests_are_in_one_worker_at_a_time_and_end_in_any_order(client: Client) -> None:
    """Each tenth raises and each other one is a stream or a unary call: none changes another."""
    order = list(range(100))
    random.Random(3).shuffle(order)

    def call(number: int) -> str | grpc.StatusCode:
        fails = {"raises": "no"} if number % 10 == 0 else {}
        payload = asked(name=f"{number}.", parts=3, company=51, gap_s=order[number] / 500, **fails)
        try:
            return (by_stream if number % 2 else by_unary)(client, payload)
        except CallError as error:
            return error.code

    with ThreadPoolExecutor(100) as callers:
        answers = list(callers.map(call, range(100)))
    for number, answer in enumerate(answers):
        expected = f"{number}.1;{number}.2;{number}.end"
        assert answer == (grpc.StatusCode.INTERNAL if number % 10 == 0 else expected)


@pytest.mark.parametrize("parts", [1, 3])
def test_every_kind_of_call_gets_the_parts_and_the_end(client: Client, server: RunningServer, parts: int) -> None:
    payload = asked(parts=parts)
    expected = "".join(f"{number};" for number in range(1, parts)) + "end"
    assert by_unary(client, payload) == by_stream(client, payload) == expected
    assert posted(server, payload) == (200, expected)


def test_a_refusal_keeps_its_code_and_costs_that_request_only(client: Client, server: RunningServer) -> None:
    with ThreadPoolExecutor(1) as callers:
        other = callers.submit(by_stream, client, asked(parts=20, gap_s=0.05))
        assert posted(server, asked(refuses=429))[0] == 429
        assert ended(lambda: by_unary(client, asked(refuses=429))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert other.result(CALL_S).endswith("19;end")


def test_the_call_of_a_client_that_left_is_cancelled(client: Client) -> None:
    before = counted(client)["cancelled"]
    stream = client.predict_stream(NAME, asked(parts=10_000, gap_s=0.01), timeout=CALL_S)
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    while counted(client)["cancelled"] == before:
        pass


def test_a_deadline_cancels_the_call(client: Client) -> None:
    before = counted(client)["cancelled"]
    began = False
    for timeout in (0.3, 1.0, 5.0, 20.0):  # a busy machine may take longer to begin it
        stream = client.predict_stream(NAME, asked(parts=10_000, gap_s=0.01), timeout=timeout)
        with pytest.raises(CallError) as late:
            for _ in stream:
                began = True
        assert late.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        if began:
            break
    while counted(client)["cancelled"] == before:
        pass


def test_a_response_timeout_ends_one_request_and_not_the_worker(client: Client) -> None:
    """A stream that takes longer in all, but not between two parts, is served."""
    pid = counted(client)["pid"]
    with ThreadPoolExecutor(1) as callers:
        longer = callers.submit(by_stream, client, asked(parts=8, gap_s=0.4))
        assert ended(lambda: by_unary(client, asked(hangs=True))) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert longer.result(CALL_S).endswith("7;end")
    assert counted(client)["pid"] == pid


def test_a_call_that_ignores_its_cancellation_does_not_cost_the_worker(client: Client) -> None:
    pid = counted(client)["pid"]
    assert ended(lambda: by_unary(client, asked(stubborn=True))) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended(lambda: by_unary(client, asked(stubborn=True))) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counted(client)["pid"] == pid


def test_a_handler_that_waits_for_its_reader_may_send_more_than_anybody_buffers(client: Client) -> None:
    stream = client.predict_stream(NAME, asked(parts=101, bytes=200_000, drains=True), timeout=CALL_S)
    assert sum(len(part.data) for part in stream) == 100 * 200_000 + 3


def test_a_worker_that_dies_fails_what_it_had_begun_and_comes_back(client: Client) -> None:
    pid = counted(client)["pid"]
    with ThreadPoolExecutor(5) as callers:
        others = [callers.submit(by_stream, client, asked(parts=50, gap_s=0.2)) for _ in range(4)]
        while counted(client)["running"] < 5:
            pass
        assert ended(lambda: by_unary(client, asked(dies=True))) is grpc.StatusCode.UNAVAILABLE
        assert [ended(other.result) for other in others] == [grpc.StatusCode.UNAVAILABLE] * 4
    assert counted(client)["pid"] != pid


def test_a_loop_that_is_blocked_costs_the_worker(client: Client) -> None:
    """Nothing else can be cancelled or answered there."""
    pid = now = counted(client)["pid"]
    assert ended(lambda: by_unary(client, asked(blocks_s=60))) is grpc.StatusCode.DEADLINE_EXCEEDED
    while now == pid:
        with contextlib.suppress(CallError):  # until the server gives the worker up, the loop does not answer
            now = counted(client)["pid"]


def test_tasks_that_initialize_made_go_on(client: Client) -> None:
    ticks = counted(client)["ticks"]
    while counted(client)["ticks"] < ticks + 2:
        pass
