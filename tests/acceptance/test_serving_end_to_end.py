"""A real server process, real workers, real clients: the journey of requests, on both engines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from model_kit import ENDLESS_HANDLER, model_archive
from torchserve_kit import wait_until_served
from waiting import wait_until

from stoker.cli import stoker
from stoker.client import AsyncClient, CallError, Client
from stoker.testing.server import RunningServer, running_server

HANDLERS = {
    "echo": """
        def handle(data, context):
            return None if data is None else [bytes(row["data"]) for row in data]
        """,
    # word for word the handler of TorchServe's streaming documentation
    "streamer": """
        from ts.protocol.otf_message_handler import send_intermediate_predict_response

        def handle(data, context):
            if type(data) is list:
                for i in range (3):
                    send_intermediate_predict_response(["intermediate_response"], context.request_ids, "Intermediate Prediction success", 200, context)
                return ["hello world "]
        """,  # noqa: E501 - word for word
    "faulty": """
        import os, time
        from ts.utils.util import PredictionException

        def handle(data, context):
            if data is None:
                return
            word = bytes(data[0]["data"]).decode()
            if word == "raise": raise ValueError("/secret/path")
            if word == "refuse": raise PredictionException("no such thing", 404)
            if word == "exit": os._exit(3)
            if word == "none": return None
            if word == "count": return [b"", b""]
            if word == "object": return [object()]
            if word == "memory": raise MemoryError
            if word == "sleep": time.sleep(60)
            if word == "big": return [b"x" * 7_000_000]
            return [word]
        """,
    "endless": ENDLESS_HANDLER,
    "long": """
        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            if data is None:
                return
            for i in range(400):
                send_intermediate_predict_response([b"x" * 100_000], context.request_ids, "", 200, context)
                with open("parts", "w") as file: file.write(str(i + 1))
            return [b"end"]
        """,
    "headers": """
        def handle(data, context):
            if data is None:
                return
            context.set_response_header(0, "X-Upper", "v")
            context.set_response_header(0, "grpc-status", "13")
            context.set_response_header(0, "broken", "a\\nb")
            context.set_response_status(507, "Sorry", 0)
            return [{k: v for k, v in context.get_all_request_header(0).items() if k.startswith("X-")}]
        """,
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("archives")
    return [model_archive(folder, name, textwrap.dedent(source)) for name, source in HANDLERS.items()]


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def server(request: pytest.FixtureRequest, archives: list[Path]) -> Iterator[RunningServer]:
    settings = {"grpc_engine": request.param, "load_models": "all", "default_workers_per_model": 1}
    with running_server(archives=archives, settings=settings) as running:
        with Client(running.endpoint) as client:
            _wait_serving(client)
        yield running


def _wait_serving(client: Client) -> None:
    """Models of ``load_models`` load after the start."""
    for name in HANDLERS:
        wait_until_served(client, name)


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.endpoint) as connected:
        yield connected


def test_a_request_comes_back(client: Client) -> None:
    assert client.ping() == "Healthy"
    assert client.predict("echo", b"hello").data == b"hello"
    assert client.predict("echo", b"hello", version="1.0", timeout=10).data == b"hello"


async def test_many_requests_at_once_are_neither_lost_nor_mixed_up(server: RunningServer) -> None:
    async with AsyncClient(server.endpoint) as client:
        gate = asyncio.Semaphore(64)

        async def one(number: int) -> bool:
            async with gate:
                payload = b"%d" % number * (1 + number % 50)
                return (await client.predict("echo", payload)).data == payload

        assert all(await asyncio.gather(*(one(number) for number in range(2000))))


def test_the_documented_streaming_handler_streams_three_parts_and_the_last(client: Client) -> None:
    parts = [part.text for part in client.predict_stream("streamer", b"x")]
    assert parts == ["intermediate_response"] * 3 + ["hello world "]


def test_predictions_on_a_streaming_handler_joins_the_parts(client: Client) -> None:
    assert client.predict("streamer", b"x").text == "intermediate_response" * 3 + "hello world "


def test_a_stream_of_a_handler_that_does_not_stream_has_one_part(client: Client) -> None:
    assert [part.data for part in client.predict_stream("echo", b"x")] == [b"x"]


@pytest.mark.parametrize(
    ("word", "code", "text"),
    [
        ("raise", grpc.StatusCode.INTERNAL, "Prediction failed"),
        ("refuse", grpc.StatusCode.NOT_FOUND, "no such thing"),
        ("none", grpc.StatusCode.INTERNAL, "Invalid model predict output"),
        ("count", grpc.StatusCode.INTERNAL, "number of batch response mismatched"),
        ("object", grpc.StatusCode.INTERNAL, "Unsupported model output data type."),
        ("memory", grpc.StatusCode.INTERNAL, "Out of resources"),
    ],
)
def test_a_handlers_mistake_is_one_clear_error_and_the_worker_lives(
    client: Client, word: str, code: grpc.StatusCode, text: str
) -> None:
    (before,) = client.describe("faulty")[0]["workers"]
    with pytest.raises(CallError) as caught:
        client.predict("faulty", word)
    assert caught.value.code == code and caught.value.message == text
    assert client.predict("faulty", "fine").text == "fine"
    assert client.describe("faulty")[0]["workers"][0]["pid"] == before["pid"]


def test_an_answer_over_the_limit_is_an_error_and_the_worker_lives(client: Client) -> None:
    pid = client.describe("faulty")[0]["workers"][0]["pid"]
    with pytest.raises(CallError, match="larger than max_response_size"):
        client.predict("faulty", "big")
    assert client.describe("faulty")[0]["workers"][0]["pid"] == pid


def test_a_worker_that_exits_fails_its_request_with_the_cause_and_another_takes_over(client: Client) -> None:
    with pytest.raises(CallError) as caught:
        client.predict("faulty", "exit")
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE and "exit code 3" in caught.value.message
    assert client.predict("faulty", "fine", timeout=60).text == "fine"


def test_a_deadline_reaches_the_server_and_the_next_request_is_served(client: Client) -> None:
    with pytest.raises(CallError) as caught:
        client.predict("faulty", "sleep", timeout=0.3)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    worker = client.describe("faulty")[0]["workers"][0]
    os.kill(worker["pid"], signal.SIGKILL)  # it would sleep on
    assert client.predict("faulty", "fine", timeout=60).text == "fine"


def test_a_stream_may_be_longer_than_the_limit_of_one_answer_and_waits_for_its_reader(client: Client) -> None:
    stream = client.predict_stream("long", b"x")
    first = next(stream)
    pid = client.describe("long")[0]["workers"][0]["pid"]
    client.predict("echo", b"time passes for the handler, too")
    time.sleep(1)  # were it not held up, it would be done by now
    assert int(Path(f"/proc/{pid}/cwd/parts").read_text()) < 400
    assert sum(len(part.data) for part in stream) + len(first.data) == 40_000_003


def test_an_answer_joined_from_parts_has_the_limit_of_one_answer(client: Client) -> None:
    with pytest.raises(CallError, match="larger than max_response_size"):
        client.predict("long", b"x")


def test_a_client_that_leaves_a_stream_stops_the_handler(client: Client, server: RunningServer) -> None:
    stream = client.predict_stream("endless", b"x")
    assert [len(next(stream).data) for _ in range(5)] == [1000] * 5
    stream.close()
    pid = client.describe("endless")[0]["workers"][0]["pid"]
    ended = Path(f"/proc/{pid}/cwd/ended")
    wait_until(ended.exists, "the handler ends")
    ended.unlink()


def test_metadata_reaches_the_handler_and_its_headers_come_back(client: Client) -> None:
    answer = client.predict("headers", b"", metadata={"x-trace": "7", "explain": "True"})
    assert answer.json() == {"X-Trace": "7"}
    assert answer.headers["x-upper"] == "v"
    assert (answer.headers["ts-status"], answer.headers["ts-reason"]) == ("507", "Sorry")
    assert "broken" not in answer.headers


@pytest.mark.parametrize(
    ("model", "version", "code"),
    [
        ("nobody", None, grpc.StatusCode.NOT_FOUND),
        ("echo", "9.9", grpc.StatusCode.NOT_FOUND),
        ("", None, grpc.StatusCode.INVALID_ARGUMENT),
        ("a/b", None, grpc.StatusCode.NOT_FOUND),
        ("..", None, grpc.StatusCode.NOT_FOUND),
        ("n" * 300, None, grpc.StatusCode.NOT_FOUND),
        ("\u0435cho", None, grpc.StatusCode.NOT_FOUND),  # its first letter is Cyrillic
        ("echo", "1.00", grpc.StatusCode.NOT_FOUND),
    ],
)
def test_a_missing_model_is_reported(client: Client, model: str, version: str | None, code: grpc.StatusCode) -> None:
    with pytest.raises(CallError) as caught:
        client.predict(model, b"", version=version)
    assert caught.value.code == code


def test_no_message_or_log_line_for_clients_shows_a_path(client: Client) -> None:
    with pytest.raises(CallError) as caught:
        client.predict("faulty", "raise")
    assert "/secret" not in str(caught.value) and "/" not in caught.value.message


def test_models_come_and_go_and_scale(client: Client, server: RunningServer) -> None:
    assert client.unregister("echo") == 'Model "echo" unregistered'
    with pytest.raises(CallError, match="Model not found: echo"):
        client.predict("echo", b"")
    text = client.register("echo.mar", initial_workers=2, synchronous=True)
    assert text == 'Model "echo" Version: 1.0 registered with 2 initial workers'
    assert client.scale("echo", min_workers=1, synchronous=True) == "Workers scaled to 1 for model: echo"
    assert len(client.describe("echo")[0]["workers"]) == 1
    with pytest.raises(CallError) as caught:
        client.register("echo.mar", initial_workers=1, synchronous=True)
    assert caught.value.code == grpc.StatusCode.ALREADY_EXISTS
    assert client.predict("echo", b"x").data == b"x"


def test_a_terminated_server_answers_what_it_accepted_and_leaves_no_process(archives: list[Path]) -> None:
    with running_server(archives=archives) as server, Client(server.endpoint) as client:
        client.register("streamer.mar", initial_workers=1, synchronous=True)
        pid = client.describe("streamer")[0]["workers"][0]["pid"]
        client.predict("streamer", b"x")
        assert server.stop() == 0
        assert not Path(f"/proc/{pid}").exists()
        assert "Traceback" not in server.console


def test_a_killed_server_takes_its_workers_along(archives: list[Path]) -> None:
    with running_server(archives=archives) as server:
        with Client(server.endpoint) as client:
            client.register("echo.mar", initial_workers=2, synchronous=True)
            pids = [worker["pid"] for worker in client.describe("echo")[0]["workers"]]
        server.process.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "its workers are gone")


def test_the_command_line_client_and_stoker_client_talk_to_it(server: RunningServer, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "in.txt").write_text("hello")
    endpoint = server.endpoint
    where = ["--inference", endpoint.inference, "--management", endpoint.management]

    def run(*argv: str) -> str:
        done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    script = str(root / "ts_scripts" / "torchserve_grpc_client.py")
    assert run(script, *where, "infer", "echo", "in.txt") == "hello\n"
    assert run(script, *where, "infer_stream", "streamer", "in.txt").splitlines()[-1] == "hello world "
    assert run("-m", "stoker.cli.stoker", "client", *where, "predict", "echo", "in.txt") == "hello"
    assert "echo\techo.mar" in run("-m", "stoker.cli.stoker", "client", *where, "list")


def test_a_wrong_port_is_named_and_options_stand_anywhere(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    inference, management = server.endpoint.inference, server.endpoint.management

    def output(*words: str) -> str:
        status = stoker.main(["client", *words])
        captured = capsys.readouterr()
        return f"{status} {captured.out}{captured.err}"

    assert output("infer", "echo", "--text", "hi", "--address", f"http://{inference}") == "0 hi"
    assert output("--text", "hi", "infer", "echo", "--inference", inference) == "0 hi"
    assert output("ping", "--json", "-a", inference) == '0 {"status": "Healthy"}\n'
    assert " is a REST port; gRPC is on " in output("ping", "-a", server.inference)
    assert f"{management} is the management API" in output("ping", "-a", management)
    assert f"{inference} is the inference API" in output("list", "-a", inference)
    assert f"{inference} has no TLS" in output("ping", "-a", f"https://{inference}")
