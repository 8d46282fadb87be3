"""What clients do that die, crowd or come half: a real server is as it was before, and says nothing in its log."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import psutil
import pytest
from google.protobuf.empty_pb2 import Empty
from hostile_kit import MIB, Footprint, port_of
from torchserve_kit import archive
from waiting import wait_until

from stoker.client import Client
from stoker.protos import InferenceAPIsServiceStub
from stoker.testing import server as testing_server
from stoker.testing.server import RunningServer, running_server

KILLED = Path(__file__).resolve().parents[1] / "clients" / "killed.py"
KILLS = 15
OPEN_FILES = 256
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
HANDLER = """
import time

def handle(data, context):
    if data is None:
        return None
    if bytes(data[0]["data"]) != b"wait":
        return ["answer"]
    while not context.is_cancelled(0):
        time.sleep(0.002)
    return ["left"]
"""
SETTINGS = {"load_models": "all", "default_workers_per_model": 1, "job_queue_size": 1000}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("archives") / "models", "m", HANDLER)


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[RunningServer]:
    with running_server(archives=[model], settings=SETTINGS) as running:
        assert predict(running) == b"answer"
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.console


def predict(server: RunningServer) -> bytes:
    with Client(server.endpoint) as client:
        return client.predict("m", b"x").data


@pytest.mark.timeout(180)
def test_clients_killed_with_a_hundred_calls_in_flight_leave_nothing(server: RunningServer) -> None:
    before = Footprint(server)
    for _ in range(KILLS):
        address = server.endpoint.inference
        with subprocess.Popen([sys.executable, KILLED, address, "m"], stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"in flight\n"
            client.kill()
    assert predict(server) == b"answer"
    wait_until(lambda: cancelled(server) == KILLS * 100, "every call has its line in the access log")
    before.wait_until_back(30 * MIB)


def cancelled(server: RunningServer) -> int:
    return sum("ACCESS_LOG" in line and 'HTTP/2.0" 1 ' in line for line in server.console.splitlines())


def test_two_hundred_channels_that_come_and_go_leave_nothing(server: RunningServer) -> None:
    before = Footprint(server)
    for _ in range(20):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(server.endpoint.inference, options) for _ in range(200)]
        pings = [InferenceAPIsServiceStub(channel).Ping.future(Empty(), timeout=60) for channel in channels]
        assert all("Healthy" in ping.result().health for ping in pings)
        for channel in channels:
            channel.close()
    before.wait_until_back(50 * MIB)


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE, PREFACE + b"\0\0\x10"])
def test_a_client_that_closes_its_half_is_closed_at_once(server: RunningServer, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server.endpoint.inference)), timeout=20) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass
    assert predict(server) == b"answer"


# --------------------------------------------------------------------------------------- many small pieces


@pytest.mark.parametrize(
    ("method", "piece"),
    [
        ("org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions", b"\x1a\x05\x0a\x03%c%c%c"),
        ("inference.GRPCInferenceService/ModelInfer", b"\x22\x05\x0a\x03%c%c%c"),
    ],
    ids=["inputs", "parameters"],
)
def test_requests_of_a_million_pieces_cost_neither_memory_nor_their_neighbours(
    server: RunningServer, method: str, piece: bytes
) -> None:
    letters = range(1, 97)
    request = b"\x0a\x01m" + b"".join(piece % each for each in product(letters, letters, letters))
    before = Footprint(server)
    with grpc.insecure_channel(server.endpoint.inference) as channel:
        floods = [channel.unary_unary(f"/{method}").future(request, timeout=60) for _ in range(4)]
        assert predict(server) == b"answer"
        ends = [(flood.code(), flood.details().splitlines()[0]) for flood in floods]
    assert ends == [(grpc.StatusCode.INVALID_ARGUMENT, "The request has more than 10000 fields.")] * 4
    assert before.peak_growth < 100 * MIB


# --------------------------------------------------------------------------------------- few open files


@pytest.fixture
def poor_server(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server that may have few open files."""
    popen = subprocess.Popen

    def limited(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return popen(["sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh", *command], **options)

    monkeypatch.setattr(testing_server.subprocess, "Popen", limited)
    with running_server(archives=[model], settings=SETTINGS) as running:
        monkeypatch.undo()
        assert predict(running) == b"answer"
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.console


def test_a_thousand_connections_to_each_listener_of_a_server_with_few_open_files(poor_server: RunningServer) -> None:
    """Those that are too many are dropped; neither does the server spin, nor do its other parts lack a descriptor."""
    process = psutil.Process(poor_server.process.pid)
    ports = [port_of(address) for address in (poor_server.endpoint.inference, poor_server.inference)]
    crowd = [connection for port in ports for connection in crowd_at(port, 1000)]
    try:
        assert process.num_fds() < OPEN_FILES - 20
        with Client(poor_server.endpoint) as client:  # the other listeners go on, and a worker can be had
            client.scale("m", min_workers=2, synchronous=True)
        used = sum(process.cpu_times()[:2])
        time.sleep(1.0)
        assert sum(process.cpu_times()[:2]) - used < 0.5
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: succeeds(lambda: predict(poor_server) == b"answer"), "gRPC serves again")
    wait_until(lambda: succeeds(lambda: rest_serves(poor_server)), "REST serves again")


def crowd_at(port: int, count: int) -> list[socket.socket]:
    crowd = []
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        crowd.append(connection)
    return crowd


def rest_serves(server: RunningServer) -> bool:
    with urlopen(f"{server.inference}/ping", timeout=10) as answer:
        return bool(answer.status == 200)


def succeeds(attempt: Callable[[], bool]) -> bool:
    """False also for what fails while the crowd is still leaving."""
    try:
        return attempt()
    except Exception:
        return False
