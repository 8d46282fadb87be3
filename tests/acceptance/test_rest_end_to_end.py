"""REST with a real server process and real workers: what handlers see and say, over curl's kind of requests."""

from __future__ import annotations

import json
import socket
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from model_kit import ENDLESS_HANDLER, model_archive
from waiting import wait_until

from stoker.testing.server import RunningServer, running_server

HANDLERS = {
    "echo": """
        def handle(data, context):
            return None if data is None else [bytes(row.get("data") or row.get("body") or b"") for row in data]
        """,
    "witness": """
        def handle(data, context):
            if data is None:
                return
            row, headers = data[0], context.get_all_request_header(0)
            context.set_response_content_type(0, "application/json")
            context.set_response_header(0, "X-Seen", context.get_request_header(0, "x-custom") or "nothing")
            values = {k: v.decode("latin-1") if isinstance(v, bytearray) else v for k, v in row.items()}
            kinds = {k: type(v).__name__ for k, v in row.items()}
            return [{"values": values, "kinds": kinds, "headers": headers, "id": context.get_request_id(0)}]
        """,
    "faulty": """
        import os, time
        from ts.utils.util import PredictionException

        def handle(data, context):
            if data is None:
                return
            word = bytes(data[0]["body"]).decode()
            if word == "raise": raise ValueError("/secret/path")
            if word == "refuse": raise PredictionException("no such thing", 513)
            if word == "too large": raise PredictionException("too large", 413)
            if word == "exit": os._exit(3)
            if word == "none": return None
            if word == "count": return [b"", b""]
            if word == "object": return [object()]
            if word == "memory": raise MemoryError
            if word == "big": return [b"x" * 7_000_000]
            if word == "teapot": context.set_response_status(418, "I am odd", 0)
            return [word]
        """,
    # as in TorchServe's own examples, but for a row in each batch
    "streamer": """
        import time
        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            if data is None:
                return
            context.set_response_content_type(0, "text/plain")
            for i in range(3):
                send_intermediate_predict_response([f"part {i} "] * len(data), context.request_ids, "", 200, context)
            return ["end"] * len(data)
        """,
    "endless": ENDLESS_HANDLER,
    "batcher": """
        import time

        def handle(data, context):
            if data is None:
                return
            time.sleep(0.05)
            return [str(len(data))] * len(data)
        """,
}
SETTINGS = {
    "load_models": "all",
    "default_workers_per_model": 1,
    "models": json.dumps({"batcher": {"1.0": {"batchSize": 8, "maxBatchDelay": 100}}}),
    "queue_full_status": 429,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("archives")
    archives = [model_archive(folder, name, textwrap.dedent(source)) for name, source in HANDLERS.items()]
    with running_server(archives=archives, settings=SETTINGS) as running:
        with httpx.Client(base_url=running.inference, timeout=30) as client:
            _wait_ready(client)
        yield running


def _wait_ready(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/ready").status_code == 200, "the models are served")


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.inference, timeout=30) as made:
        yield made


def test_the_server_is_healthy_live_and_ready(client: httpx.Client) -> None:
    assert client.get("/ping").json() == {"status": "Healthy"}
    assert client.get("/live").json() == {"live": True}
    assert client.get("/ready").json() == {"ready": True}


PATHS = [
    "/predictions/echo",
    "/predictions/echo/1.0",
    "/models/echo/invoke",
    "/invocations?model_name=echo",
    "/echo/predict",
    "/echo/1.0/predict",
    "/explanations/echo",
    "/v1/models/echo:predict",
    "/v2/models/echo/infer",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_torchserve_predicts(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=b"hello")
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert "content-type" not in answer.headers


def test_the_handler_sees_headers_path_and_values_as_under_torchserve(client: httpx.Client) -> None:
    headers = {"content-type": "application/json; charset=utf-8", "X-CUSTOM": "v"}
    answer = client.post("/predictions/witness/1.0/v1/chat", content=b'{"a": [1]}', headers=headers)
    seen = answer.json()
    assert seen["values"] == {"body": {"a": [1]}}
    assert seen["headers"]["X-Custom"] == "v"
    assert seen["headers"]["url_path"] == "v1/chat"
    assert seen["headers"]["explain"] == "False"
    assert seen["headers"]["body"] == {"content-type": "application/json"}
    assert seen["id"] == answer.headers["x-request-id"]
    assert (answer.headers["x-seen"], answer.headers["content-type"]) == ("v", "application/json")


def test_the_parts_of_a_form_are_decoded_by_their_own_types(client: httpx.Client) -> None:
    files = {
        "data": ("d.json", b"[1, 2]", "application/json"),
        "text": ("t.txt", "grüß".encode(), "text/plain"),
        "plain": (None, b"p"),
    }
    seen = client.post("/predictions/witness", files=files).json()
    assert seen["values"] == {"data": [1, 2], "text": "grüß", "plain": "p"}
    assert seen["kinds"] == {"data": "list", "text": "str", "plain": "bytearray"}


@pytest.mark.parametrize(
    ("word", "status", "text"),
    [
        ("raise", 503, "Prediction failed"),
        ("refuse", 513, "no such thing"),
        ("too large", 507, "too large"),
        ("exit", 500, "Worker died. Cause: exit code 3"),
        ("none", 503, "Invalid model predict output"),
        ("count", 503, "number of batch response mismatched"),
        ("object", 503, "Unsupported model output data type."),
        ("memory", 507, "Out of resources"),
        ("big", 507, "The response is larger than max_response_size: 7000000 bytes, the limit is 6553500."),
    ],
)
def test_what_goes_wrong_in_a_handler_is_an_error_document_and_the_model_serves_on(
    client: httpx.Client, word: str, status: int, text: str
) -> None:
    answer = client.post("/predictions/faulty", content=word)
    expected = {"code": status, "type": "InternalServerException", "message": text}
    assert (answer.status_code, answer.json()) == (status, expected)
    assert client.post("/predictions/faulty", content="fine").text == "fine"


def test_a_handlers_own_status_and_reason_reach_the_client(client: httpx.Client) -> None:
    answer = client.post("/predictions/faulty", content="teapot")
    assert (answer.status_code, answer.reason_phrase, answer.text) == (418, "I am odd", "teapot")


def test_a_streaming_handler_answers_in_chunks_or_in_events(client: httpx.Client) -> None:
    with client.stream("POST", "/predictions/streamer", content=b"x") as answer:
        parts = list(answer.iter_raw())
    assert "".join(part.decode() for part in parts) == "part 0 part 1 part 2 end"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"] == "text/plain"
    events = client.post("/predictions/streamer", content=b"x", headers={"accept": "text/event-stream"})
    assert events.text == "data: part 0 \n\ndata: part 1 \n\ndata: part 2 \n\ndata: end\n\n"


def test_requests_over_http_share_batches(client: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(lambda _: int(client.post("/predictions/batcher", content=b"x").text), range(32)))
    assert max(sizes) > 1
    assert max(sizes) <= 8


def test_a_client_that_leaves_a_stream_ends_its_handler(server: RunningServer) -> None:
    host, port = server.inference.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"GET /predictions/endless HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"chunked" in sock.recv(4096)
    wait_until(lambda: any((server.folder / "tmp").rglob("ended")), "the handler ends")


def test_requests_are_lines_of_the_access_log(server: RunningServer, client: httpx.Client) -> None:
    client.get("/predictions/unknown?a=b")
    log = server.folder / "logs" / "access_log.log"
    wait_until(lambda: ' "GET /predictions/unknown?a=b HTTP/1.1" 404 ' in log.read_text(), "the request is logged")
