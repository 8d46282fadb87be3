"""TLS, public listeners, crowds of clients and the bare echo take part as they should."""

from __future__ import annotations

import asyncio
import base64
import io
import resource
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from benchmarks import background, crowd, crowds, generator, listeners, probes, reconnecting
from benchmarks.handlers import ample
from benchmarks.handlers.digest import digest
from benchmarks.http1 import CHUNK
from benchmarks.http2 import Call
from benchmarks.workload import Workload
from benchmarks.workspace import Options, Workspace
from benchmarks.yardsticks.bare_server import BareNgh2, EchoApi
from benchmarks.yardsticks.ngh2_echo import Echo

from stoker.bench import checking, h2load
from stoker.bench.contender import Deployment, Model, WireRequest
from stoker.bench.loads import Load
from stoker.config.settings import ROWS
from stoker.frontend import open_files
from stoker.protos import inference_pb2


def deployment(scratch: Path) -> Deployment:
    model = Model(name="m", archive=scratch / "m.mar", handler_file=scratch, handler_class=None, folder=scratch)
    return Deployment(model=model, home=scratch, scratch=scratch, port=1, more_ports=(2, 3, 4, 5, 6))


# ----------------------------------------------------------------------------------------------- TLS, listeners


def test_both_servers_get_the_same_tls_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[dict[str, str]] = []
    for module in ("benchmarks.listeners", "stoker.bench.contenders"):
        monkeypatch.setattr(f"{module}.start_torchserve", lambda _, __, extra, **___: passed.append(extra))
    for contender in (listeners.StokerTls(), listeners.TorchServeTls()):
        running = contender.start(deployment(tmp_path))
        assert running.roots == (tmp_path / "server.pem").read_bytes()
        assert contender.wire == "grpcs"
    assert passed[0] == passed[1] and all(ROWS[key].field for key in passed[0])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        passed[0]["certificate_file"], passed[0]["private_key_file"]
    )


def test_a_load_over_tls_goes_to_an_https_address() -> None:
    request = WireRequest(path="/a.S/M", body=b"x")
    for wire, scheme in (("grpc", "http"), ("grpcs", "https")):
        load = Load(endpoint="e:1", wire=wire, request=request, concurrency=1, duration_s=1)  # type: ignore[arg-type]
        assert h2load.command(load, Path("body"), Path("log"))[-1] == f"{scheme}://e:1/a.S/M"
    assert Workspace(Path("unused"), Options()).generator("grpcs").func is h2load.run  # type: ignore[attr-defined]


def test_answers_over_tls_are_checked_with_the_servers_own_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(checking, "GrpcClient", lambda *words: asked.append(words))
    checking.client("grpcs", SimpleNamespace(endpoint="e", roots=b"pem"))  # type: ignore[arg-type]
    checking.client("grpc", SimpleNamespace(endpoint="e"))  # type: ignore[arg-type]
    monkeypatch.setattr(checking, "HttpClient", lambda *words: asked.append(words))
    checking.client("https", SimpleNamespace(endpoint="e", roots=b"pem"))  # type: ignore[arg-type]
    assert asked == [("e", b"pem"), ("e", None), ("e", b"pem")]


@pytest.mark.parametrize(
    ("contender", "setting"),
    [
        (listeners.public(), {"grpc_inference_address": "0.0.0.0"}),
        (listeners.Crowded("grpc"), {"max_connections": "11000"}),
        (listeners.Crowded("http"), {"max_connections": "11000"}),
    ],
)
def test_a_server_that_is_set_otherwise_differs_in_that_setting_alone(
    contender: listeners.StokerWith | listeners.Crowded,
    setting: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = []
    monkeypatch.setattr(listeners, "start_torchserve", lambda _, __, extra: passed.append(extra))
    contender.start(deployment(tmp_path))
    assert passed == [setting]
    assert all(ROWS[key].field for key in setting), "settings that are read"
    assert f"{next(iter(setting))}=" in contender.note


# ------------------------------------------------------------------------------------------- connections anew


def test_failed_requests_spoil_the_measurement_of_new_connections() -> None:
    failed = {"milliseconds": [1.0], "failures": ["grpc-status b'13', 0 bytes"]}
    assert reconnecting.result(failed, 0.1, None, 1.0).problem == "1 requests failed: grpc-status b'13', 0 bytes"
    assert reconnecting.result({"milliseconds": []}, 0.1, None, 1.0).problem == "no request was answered"
    good = reconnecting.result({"milliseconds": [1.0, 3.0, 2.0]}, 0.1, None, 2.0)
    assert (good.rate, good.latencies_ms["p50"], good.problem) == (1.5, 2.0, None)


def test_the_clients_are_divided_among_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[str] = []

    def run_client(_: Any, *, timeout_s: float, input_text: str) -> Any:
        plans.append(input_text)
        return SimpleNamespace(output='{"milliseconds": [1.0]}\n', cpu_s=0.1, status=0, timed_out=False)

    monkeypatch.setattr(generator, "run_client", run_client)
    request = WireRequest(path="/p", body=b"x")
    reconnecting.run("e:1", request, b"y", concurrency=16, duration_s=1.0)
    assert f'"clients": {16 // reconnecting.PROCESSES}' in plans[0]


# -------------------------------------------------------------------------------------- the call and the echo


class Wire:
    """A transport: what an `Echo` writes goes back into the call."""

    def __init__(self, call: Call) -> None:
        self.call, self.server = call, Echo()
        self.server.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        if data:
            self.call.receive(data)

    def talk(self) -> None:
        while data := self.call.to_send():
            self.server.data_received(data)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_the_bare_echo_sends_back_what_came(size: int) -> None:
    call = Call("/p", h2load.grpc_frame(b"x" * size))
    Wire(call).talk()
    assert call.ended and call.status == b"0"
    assert call.answer == h2load.grpc_frame(b"x" * size)


def test_a_call_that_stops_half_way_stays_open() -> None:
    call = Call("/p", bytes(200_000), until=100_000)
    wire = Wire(call)
    wire.talk()
    assert (call.sent, call.ended, call.status) == (100_000, False, None)
    assert sum(map(len, wire.server.bodies[1])) == 100_000


def test_an_echo_passes_the_same_checks_as_a_digest() -> None:
    sent = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"payload"}).SerializeToString()
    api = EchoApi(SimpleNamespace(), model="m", management_port=1)  # type: ignore[arg-type]
    assert api.answer(sent) == digest(b"payload").encode()
    assert BareNgh2().offers(Workload.SMALL) and not BareNgh2().offers(Workload.BATCHED)


# --------------------------------------------------------------------------------------------------- crowds


def test_the_large_answer_is_as_long_as_was_asked() -> None:
    probe = probes.ample_probe()
    assert ample.answer(b"1000000") == bytes(1_000_000)
    assert ample.answer(bytes(100)) == ample.answer(b"999999999") == b"-"
    assert probe.check(b"9", [bytes(9)]) and not probe.check(b"9", [bytes(8)])


def test_what_the_crowd_says_is_kept_and_what_went_wrong_too() -> None:
    reports = background.Reports()
    reports.read(io.StringIO("OSError: too many\n"))
    assert reports.last is None and reports.other_lines == ["OSError: too many"]
    reports.read(io.StringIO('{"sent_mib": 3}\n{"sent_mib": 2}\n'))
    assert reports.last == {"sent_mib": 2}


@pytest.mark.parametrize(("limit", "clients"), [(10_000, 5999), (20_000, 10_000), (resource.RLIM_INFINITY, 10_000)])
def test_a_crowd_is_as_large_as_the_open_files_of_a_server_allow(
    limit: int, clients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert crowds.allowed(10_000) == clients
    possible = open_files.of_one_listener(limit)
    assert possible > clients or limit == resource.RLIM_INFINITY, "one may ask meanwhile"


def plan_of(wire: str = "grpc", behaviour: str = "idle", size: int = 5, endpoint: str = "e:1") -> crowd.Plan:
    body = base64.b64encode(h2load.grpc_frame(bytes(size - 5)) if wire.startswith("grpc") else bytes(size)).decode()
    return crowd.Plan(endpoint=endpoint, wire=wire, path="/p", body=body, behaviour=behaviour, clients=3)  # type: ignore[arg-type]


def test_a_request_that_is_sent_half_is_never_whole() -> None:
    for behaviour, whole in (("idle", True), ("unread", True), ("half", False)):
        call = plan_of(behaviour=behaviour).call()
        assert isinstance(call, Call)
        Wire(call).talk()
        assert call.ended is whole


@pytest.mark.parametrize(("behaviour", "sent"), [("idle", 200_000), ("half", 100_000)])
def test_a_request_over_rest_is_sent_in_pieces_as_far_as_it_goes(behaviour: str, sent: int) -> None:
    call = plan_of("http", behaviour, 200_000).call()
    pieces = list(iter(call.to_send, b""))
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /p HTTP/1.1\r\n") and b"content-length: 200000" in head
    assert (len(body), call.sent, len(pieces)) == (sent, sent, -(-sent // CHUNK))


def test_an_answer_over_rest_is_known_by_its_status() -> None:
    call = plan_of("http").call()
    for piece in (b"HTTP/1", b".1 20", b"0 OK\r\n\r\nbody"):
        assert not call.answered
        call.receive(piece)
    assert call.answered


class Answering(asyncio.Protocol):
    """Answers a request as it comes. ``steps``: released when it has, and when the client has left."""

    def __init__(self, steps: asyncio.Semaphore) -> None:
        self._steps = steps
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n" + bytes(5)):
            self._transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._steps.release()

    def connection_lost(self, exc: Exception | None) -> None:
        self._steps.release()


@pytest.mark.parametrize("wire", ["http", "https"])
@pytest.mark.parametrize(("behaviour", "answered"), [("idle", 3), ("unread", 0)])
async def test_a_crowd_connects_and_reads_no_more_than_it_should(
    wire: str, behaviour: str, answered: int, tmp_path: Path
) -> None:
    steps, context = asyncio.Semaphore(0), None
    if wire == "https":
        listeners.with_certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Answering(steps), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        clients = await crowd.gather(plan_of(wire, behaviour, endpoint=f"127.0.0.1:{port}"))
        for _ in clients:
            await steps.acquire()
        while sum(client.call.answered for client in clients) < answered:
            await asyncio.sleep(0.001)
        assert crowd.report(clients)["answered"] == answered
        for client in clients:
            client.leave()
        for _ in clients:
            await steps.acquire()
