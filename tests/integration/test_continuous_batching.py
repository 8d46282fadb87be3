"""Requests join and leave a running batch, through a real server and real workers, over both engines and REST."""

from __future__ import annotations

import http.client
import itertools
import json
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

NAME = "countdown"
SLOTS = 3
CALL_S = 60.0
HANDLER = Path(__file__).resolve().parents[1] / "handlers" / "countdown.py"
CONFIG = f"minWorkers: 1\nmaxWorkers: 1\nbatchSize: {SLOTS}\ncontinuousBatching: true\nresponseTimeout: 20\n"


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    files = {HANDLER.name: HANDLER.read_text()}
    model = model_directory(tmp_path_factory.mktemp("archives"), NAME, HANDLER.name, files=files, config=CONFIG)
    settings = {"grpc_engine": request.param, "load_models": "all", "stream_window": 100_000}
    with running_server(archives=[model], settings=settings) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.endpoint) as client:
        yield client


def asked(parts: int = 1, **more: Any) -> bytes:
    return json.dumps({"parts": parts, **more}).encode()


def facts(text: str) -> list[dict[str, int]]:
    return [json.loads(line) for line in text.splitlines()]


def stream(client: Client, payload: bytes, timeout: float = CALL_S) -> Iterator[dict[str, int]]:
    for part in client.predict_stream(NAME, payload, timeout=timeout):
        yield json.loads(part.text)


def by_stream(client: Client, server: RunningServer, payload: bytes) -> list[str]:
    return [part.text for part in client.predict_stream(NAME, payload, timeout=CALL_S)]


def by_unary(client: Client, server: RunningServer, payload: bytes) -> list[str]:
    return client.predict(NAME, payload, timeout=CALL_S).text.splitlines(keepends=True)


def posted(server: RunningServer, payload: bytes, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    with closing(http.client.HTTPConnection(urlsplit(server.inference).netloc, timeout=CALL_S)) as connection:
        connection.request("POST", f"/predictions/{NAME}", payload, headers)
        with connection.getresponse() as response:
            return response, response.read().decode()


def by_rest(client: Client, server: RunningServer, payload: bytes) -> list[str]:
    return posted(server, payload)[1].splitlines(keepends=True)


def by_events(client: Client, server: RunningServer, payload: bytes) -> list[str]:
    response, body = posted(server, payload, accept="text/event-stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    return [event.removeprefix("data: ").partition("\n")[0] for event in body.split("\n\n") if event]


WAYS = [by_stream, by_unary, by_rest, by_events]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("payload", "count"), [(asked(3), 3), (asked(1), 1), (asked(1, plain=True), 1)])
def test_every_call_gets_all_parts(client: Client, server: RunningServer, way: Any, payload: bytes, count: int) -> None:
    parts = [json.loads(part) for part in way(client, server, payload)]
    assert [part["part"] for part in parts] == list(range(1, count + 1))
    assert [part["step"] - parts[0]["step"] for part in parts] == list(range(count))


def test_over_rest_parts_are_chunks_and_one_part_is_a_whole_answer(client: Client, server: RunningServer) -> None:
    several, _ = posted(server, asked(3))
    assert several.headers["transfer-encoding"] == "chunked"
    one, body = posted(server, asked(1))
    assert one.headers["content-length"] == str(len(body))
    for response in (several, one):
        assert response.status == 200
        assert "ts_stream_next" not in response.headers


def test_a_stream_that_comes_late_joins_the_next_steps_and_leaves_before_the_others(client: Client) -> None:
    long = stream(client, asked(-1, pause_s=0.01))
    at = next(long)["step"]
    late = list(stream(client, asked(3)))
    assert [part["rows"] for part in late] == [2, 2, 2]
    assert late[0]["step"] > at
    assert any(part["rows"] == 1 for part in itertools.islice(long, 100))
    long.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_free_slot_goes_to_the_one_that_waited_longest(client: Client) -> None:
    with ThreadPoolExecutor(2 * SLOTS) as callers:
        ends = list(callers.map(lambda n: list(stream(client, asked(n, pause_s=0.01))), [2, 3, 4, 5, 6, 7]))
    assert [len(parts) for parts in ends] == [2, 3, 4, 5, 6, 7]
    assert max(part["rows"] for parts in ends for part in parts) <= SLOTS
    for parts in ends:
        assert [part["step"] - parts[0]["step"] for part in parts] == list(range(len(parts)))


def test_a_client_that_leaves_frees_its_slot_and_the_handler_hears_of_it(client: Client) -> None:
    streams = [stream(client, asked(-1, pause_s=0.01)) for _ in range(SLOTS)]
    before = [next(each) for each in streams][-1]["gone"]
    streams[0].close()  # type: ignore[attr-defined]
    assert next(stream(client, asked(1)))["rows"] == SLOTS
    assert next(part for part in streams[1] if part["gone"] > before)["gone"] == before + 1
    for each in streams[1:]:
        each.close()  # type: ignore[attr-defined]


def test_a_client_that_leaves_over_rest_frees_its_slot_too(client: Client, server: RunningServer) -> None:
    other = stream(client, asked(-1, pause_s=0.01))
    before = next(other)["gone"]
    with closing(http.client.HTTPConnection(urlsplit(server.inference).netloc, timeout=CALL_S)) as connection:
        connection.request("POST", f"/predictions/{NAME}", asked(-1))
        with connection.getresponse() as response:
            assert json.loads(response.readline())["part"] == 1
    assert next(part for part in other if part["gone"] > before)["gone"] == before + 1
    other.close()  # type: ignore[attr-defined]


def test_a_deadline_ends_one_stream_and_the_handler_hears_of_it(client: Client) -> None:
    other = stream(client, asked(-1, pause_s=0.01))
    before = next(other)["gone"]
    began = False
    for timeout in (0.3, 1.0, 5.0, 20.0):  # a busy machine may take longer to begin it
        with pytest.raises(CallError) as late:
            for _ in stream(client, asked(-1), timeout=timeout):
                began = True
        assert late.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        if began:
            break
    assert next(part for part in other if part["gone"] > before)["gone"] == before + 1
    other.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("raise", grpc.StatusCode.INTERNAL, "Prediction failed"),
        ("refuse", grpc.StatusCode.ABORTED, "not this one"),
        ("die", grpc.StatusCode.UNAVAILABLE, "Worker died."),
    ],
)
def test_a_step_that_fails_ends_all_its_streams_after_their_parts_and_the_next_ones_are_served(
    client: Client, fault: str, code: grpc.StatusCode, message: str
) -> None:
    other = stream(client, asked(-1, pause_s=0.01))
    next(other)
    faulty = stream(client, asked(3, fault=fault))
    assert next(faulty)["part"] == 1
    for each in (faulty, other):
        with pytest.raises(CallError, match=message) as failed:
            list(each)
        assert failed.value.code is code
    assert len(list(stream(client, asked(2)))) == 2


def test_a_reader_that_stalls_loses_its_stream_and_others_get_all_their_parts(client: Client) -> None:
    stalled = stream(client, asked(-1, size=100_000))
    assert next(stalled)["part"] == 1
    parts = [part["part"] for part in stream(client, asked(400))]
    assert parts == list(range(1, 401))
    with pytest.raises(CallError) as ended:
        list(stalled)
    assert ended.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_criterion_that_fails_ends_its_own_stream_only(client: Client) -> None:
    other = stream(client, asked(-1, pause_s=0.01))
    next(other)
    faulty = stream(client, asked(3, fault="criterion"))
    assert next(faulty)["part"] == 1
    with pytest.raises(CallError, match="Prediction failed"):
        next(faulty)
    assert next(other)["part"] > 1
    other.close()  # type: ignore[attr-defined]


def test_over_rest_a_failed_step_is_an_error_before_the_first_part_and_a_torn_answer_after_it(
    client: Client, server: RunningServer
) -> None:
    with pytest.raises(http.client.IncompleteRead):
        posted(server, asked(3, fault="raise"))
    assert posted(server, b"no json")[0].status == 503
    assert posted(server, asked(2))[0].status == 200


def test_a_description_is_asked_of_the_handler_between_other_requests(client: Client) -> None:
    with ThreadPoolExecutor(4) as callers:
        streams = callers.map(lambda n: len(list(stream(client, asked(n)))), [5, 6, 7])
        (described,) = client.describe(NAME, customized=True, timeout=CALL_S)
        assert list(streams) == [5, 6, 7]
    assert described["continuousBatching"] is True
    assert described["customizedMetadata"]["steps"] >= 0


def test_many_callers_at_once_are_each_answered_once(client: Client) -> None:
    def call(number: int) -> list[int]:
        parts = list(stream(client, asked(1 + number % 5)))
        return [part["part"] for part in parts]

    with ThreadPoolExecutor(20) as callers:
        found = list(callers.map(call, range(200)))
    assert found == [list(range(1, 2 + number % 5)) for number in range(200)]
