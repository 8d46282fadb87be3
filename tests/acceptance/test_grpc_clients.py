"""Other people's gRPC clients, in processes of their own, against the real command: all see the same.

The programs are in `tests/clients`; each does its cases one after another, all programs at the same time, and writes
what it saw. `scripts/install --clients` brings Node's and Ruby's libraries; without them their tests are skipped.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from client_programs import Program
from google.protobuf import any_pb2, empty_pb2
from grpc_health.v1 import health_pb2
from model_kit import model_archive

from stoker.protos import inference_pb2, management_pb2
from stoker.testing.server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "clients"
NODE_MODULES = Path(sys.prefix) / "clients" / "node_modules"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"  # of gRPC's interoperability tests
HANDLER = """
import time
from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException

def handle(data, context):
    if data is None:
        return None
    word, _, rest = bytes(data[0]["data"]).partition(b" ")
    return [COMMANDS[word](rest, context)]

def echo(rest, context):
    return rest

def sleep(rest, context):
    time.sleep(float(rest))
    return b"slept"

def parts(rest, context):
    count, pause = rest.split()
    for number in range(int(count)):
        send_intermediate_predict_response([f"part {number}"], context.request_ids, "", 200, context)
        time.sleep(float(pause))
    return "end"

def refuse(rest, context):
    raise PredictionException(rest.decode(), 404)

def note(rest, context):
    headers = {name.lower(): value for name, value in context.get_all_request_header(0).items()}
    context.set_response_header(0, "X-Answer", "an answer")
    return headers["x-note"] + " " + headers["x-note-bin"]

COMMANDS = {f.__name__.encode(): f for f in (echo, sleep, parts, refuse, note)}
"""
CLIENTS = ["grpcio_sync", "grpcio_aio", "grpc_js", "c_core"]
STREAM = ["part 0", "part 1", "part 2", "end", "OK"]
SEEN: dict[str, Any] = {
    "ping": "Healthy",
    "unary": "hello",
    "stream": STREAM,
    "cancel_in_the_stream": ["CANCELLED", "free"],
    "cancel_at_once": ["CANCELLED", "free"],
    "deadline": ["DEADLINE_EXCEEDED", "free"],
    "gzip": 6000,
    "large": 60_000_000 - len("echo "),
    "metadata": ["a note " + base64.b64encode(bytes([0, 1, 255])).decode(), "an answer"],
    "error": ["NOT_FOUND", "no such thing"],
    "special_characters": ["NOT_FOUND", SPECIAL],
    "unknown_method": "UNIMPLEMENTED",
    "unknown_service": "UNIMPLEMENTED",
    "watch": "SERVING",
    "unix_socket": True,
    "tls": ["hello", *STREAM, 60_000_000 - len("echo ")],
    "mutual_tls": ["hello", *STREAM],
    "tls_without_a_certificate": "UNAVAILABLE",
    "tls_of_another_authority": "UNAVAILABLE",
    "keepalive": ["hello", True, "hello"],
    "drain": [31, "OK"],
    "after_the_stop": "UNAVAILABLE",
}


def command_of(client: str, place: Path) -> list[str] | str:
    """The program of a client; a text says why it cannot be run here."""
    if client.startswith("grpcio"):
        return [sys.executable, str(PROGRAMS / f"{client}.py"), str(place)]
    if client == "grpc_js":
        node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
        if node is None or not (NODE_MODULES / "@grpc" / "grpc-js").is_dir():
            return "@grpc/grpc-js is not installed (scripts/install --clients)"
        return [node, str(PROGRAMS / "grpc_js.js"), str(place)]
    ruby = shutil.which("ruby")
    if ruby is None or subprocess.run([ruby, "-e", "require 'grpc'"], capture_output=True, check=False).returncode:
        return "Ruby's grpc is not installed (scripts/install --clients)"
    return [ruby, str(PROGRAMS / "c_core.rb"), str(place)]


class Place:
    """Where the programs find the servers, and what they need besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives = [model_archive(folder, name, HANDLER) for name in CLIENTS]  # so that none waits for another
        self.facts: dict[str, Any] = {
            "modules": str(NODE_MODULES),
            "protos": str(ROOT / "protos"),
            "folder": str(folder),
            "special": SPECIAL,
            "unix": str(folder / "management.sock"),
            "descriptors": [
                base64.b64encode(file.DESCRIPTOR.serialized_pb).decode()
                for file in (any_pb2, empty_pb2, inference_pb2, management_pb2, health_pb2)
            ],
        }
        (folder / "health.proto").write_text(HEALTH_PROTO)
        self._make_certificates()

    def _make_certificates(self) -> None:
        servers, clients = trustme.CA(), trustme.CA()
        server, client = servers.issue_cert("localhost", "127.0.0.1"), clients.issue_cert("client@example.org")
        for name, blob in {
            "server.pem": server.cert_chain_pems[0],
            "server.key": server.private_key_pem,
            "clients.pem": clients.cert_pem,
            "ca": servers.cert_pem,
            "stranger_ca": trustme.CA().cert_pem,
            "key": client.private_key_pem,
            "certificate": client.cert_chain_pems[0],
        }.items():
            blob.write_to_path(self.folder / name)
            self.facts[name] = str(self.folder / name)

    def of(self, client: str) -> Path:
        path = self.folder / f"{client}.json"
        path.write_text(json.dumps({**self.facts, "model": client}))
        return path


HEALTH_PROTO = """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health { rpc Watch(HealthCheckRequest) returns (stream HealthCheckResponse); }
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program | str]]:
    """All that can be run here, after the last of them has ended."""
    folder = tmp_path_factory.mktemp("clients")
    place = Place(folder)
    common = {
        "load_models": "all",
        "default_workers_per_model": 1,
        "max_request_size": 100_000_000,
        "max_response_size": 100_000_000,
    }
    plain_settings = {
        **common,
        "grpc_inference_address": "::1",
        "grpc_management_address": f"unix:{place.facts['unix']}",
    }
    tls_settings = {
        **common,
        "enable_grpc_ssl": "true",
        "certificate_file": place.facts["server.pem"],
        "private_key_file": place.facts["server.key"],
    }
    mutual_settings = {**tls_settings, "client_ca_file": place.facts["clients.pem"]}
    with (
        running_server(archives=place.archives, settings=plain_settings) as plain,
        running_server(archives=place.archives, settings=tls_settings) as tls,
        running_server(archives=place.archives, settings=mutual_settings) as mutual,
    ):
        place.facts["plain"] = f"[::1]:{plain.endpoint.inference.rpartition(':')[2]}"
        place.facts["tls"] = f"localhost:{tls.endpoint.inference.rpartition(':')[2]}"
        place.facts["mutual_tls"] = f"localhost:{mutual.endpoint.inference.rpartition(':')[2]}"
        yield run_all(place, plain)
        for server in (tls, mutual):
            assert server.stop() == 0
        for server in (plain, tls, mutual):
            assert "Traceback" not in server.console
            assert [line for line in server.console.splitlines() if "connection closed" in line] == []


def run_all(place: Place, plain: RunningServer) -> dict[str, Program | str]:
    """Each program ends with a stream; the server is stopped once all of these run."""
    commands = {client: command_of(client, place.of(client)) for client in CLIENTS}
    with ExitStack() as stack:
        programs: dict[str, Program | str] = {}
        for client, command in commands.items():
            programs[client] = command if isinstance(command, str) else Program(command)
        running = [program for program in programs.values() if isinstance(program, Program)]
        for program in running:
            stack.callback(program.wait)
        for program in running:
            assert program.draining.wait(100)
        plain.process.send_signal(signal.SIGTERM)
    assert plain.process.wait(60) == 0
    return programs


def program_of(programs: dict[str, Program | str], client: str) -> Program:
    program = programs[client]
    if isinstance(program, str):
        pytest.skip(program)
    return program


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", SEEN)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_sees_the_same(programs: dict[str, Program | str], client: str, case: str) -> None:
    program = program_of(programs, client)
    assert case in program.seen, program.errors
    assert program.seen[case] == SEEN[case], program.errors


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_ends_well(programs: dict[str, Program | str], client: str) -> None:
    program = program_of(programs, client)
    assert program.process.returncode == 0, program.errors


@pytest.mark.parametrize(
    ("client", "names"),
    [
        ("grpcio_sync", ["Ping", "Predictions", "StreamPredictions", "StreamPredictions2"]),
        ("grpcio_aio", ["org.pytorch.serve.grpc.inference.InferenceAPIsService"]),
    ],
)
def test_reflection_tells_a_client_what_it_may_call(
    programs: dict[str, Program | str], client: str, names: list[str]
) -> None:
    assert set(names) <= set(program_of(programs, client).seen["reflection"])
