"""What a client's command says when it fails: its sentence, and nothing of gRPC's own log."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "stoker client": ["-m", "stoker.cli.stoker", "client", "--tls"],
    "script": [str(ROOT / "ts_scripts" / "torchserve_grpc_client.py")],
}


class NotTls(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1 << 16)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture
def address() -> Iterator[str]:
    """Address of a server that speaks neither TLS nor gRPC, on which gRPC writes a line of its own."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), NotTls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_failed_call_is_one_line_on_standard_error(command: list[str], address: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    call = [sys.executable, *command, "--inference", address, "ping"]
    done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr


PROGRAM = """
{first}
from stoker.client import CallError, Client, Endpoint
try:
    with Client(Endpoint(inference="127.0.0.1:1", root_certificates=b"no certificate")) as client:
        client.ping()
except CallError:
    pass
"""


@pytest.mark.parametrize(
    ("first", "variable", "silent"),
    [("import stoker.cli.quiet_grpc", None, True), ("", None, False), ("import stoker.cli.quiet_grpc", "ERROR", False)],
)
def test_commands_silence_grpc_unless_their_user_asked_it_to_speak(
    first: str, variable: str | None, silent: bool
) -> None:
    """A program of a user decides for itself."""
    env = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    env |= {"GRPC_VERBOSITY": variable} if variable else {}
    call = [sys.executable, "-c", PROGRAM.format(first=first)]
    done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stderr == "") is silent
