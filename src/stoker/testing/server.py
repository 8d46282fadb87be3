"""Runs a real server for a test: a process with folders and ports of its own, on loopback.

with running_server(archives=["models/echo.mar"], settings={"load_models": "all"}) as server:
    with Client(server.endpoint) as client:
        assert client.predict("echo", b"hello", timeout=60).data == b"hello"
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stoker.bench.ports import free_ports
from stoker.client import Endpoint

STARTED = "Model server started."


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server and its addresses. ``folder`` holds ``models``, ``tmp``, ``logs`` and ``console.log``.

    ``endpoint`` is for gRPC; ``inference``, ``management`` and ``metrics`` are the addresses of the REST listeners.
    """

    process: subprocess.Popen[bytes]
    endpoint: Endpoint
    folder: Path
    inference: str
    management: str
    metrics: str

    @property
    def console(self) -> str:
        """All that the server has printed so far, with the output of handlers."""
        return (self.folder / "console.log").read_text(errors="replace")

    def stop(self, *, timeout_s: float = 30) -> int:
        """Stops the server and returns the exit status; kills it if it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def running_server(
    *, archives: Sequence[str | Path] = (), settings: Mapping[str, object] | None = None, wait_s: float = 60
) -> Iterator[RunningServer]:
    """Starts ``torchserve --foreground`` with copies of ``archives`` in its model store, and stops it at the end.

    ``settings``: as in config.properties. By default the model API is on, tokens are off, and no model is loaded.

    Raises:
        RuntimeError: the server did not start within ``wait_s`` seconds; the message has its output.
    """
    with tempfile.TemporaryDirectory(prefix="stoker-test-") as name:
        folder = Path(name)
        server = _start(folder, [Path(archive) for archive in archives], dict(settings or {}))
        try:
            _wait_started(server, wait_s)
            yield server
        finally:
            server.stop()


def _start(folder: Path, archives: Sequence[Path], settings: dict[str, object]) -> RunningServer:
    for part in ("models", "tmp"):
        (folder / part).mkdir()
    for archive in archives:
        copy = shutil.copytree if archive.is_dir() else shutil.copy
        copy(archive, folder / "models" / archive.name)
    inference, management, rest, rest_management, metrics = free_ports(5)
    properties: dict[str, object] = {
        "model_store": folder / "models",
        "grpc_inference_port": inference,
        "grpc_management_port": management,
        "inference_address": f"http://127.0.0.1:{rest}",
        "management_address": f"http://127.0.0.1:{rest_management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "enable_model_api": "true",
        "disable_token_authorization": "true",
        **settings,
    }
    config = folder / "config.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    with (folder / "console.log").open("wb") as console:
        process = subprocess.Popen(
            [sys.executable, "-m", "stoker.cli.torchserve", "--start", "--foreground", "--ts-config", str(config)],
            cwd=folder,
            env={**os.environ, "TEMP": str(folder / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    endpoint = Endpoint(
        inference=f"127.0.0.1:{properties['grpc_inference_port']}",
        management=f"127.0.0.1:{properties['grpc_management_port']}",
    )
    rest_addresses = [str(properties[f"{api}_address"]) for api in ("inference", "management", "metrics")]
    return RunningServer(process, endpoint, folder, *rest_addresses)


def _wait_started(server: RunningServer, wait_s: float) -> None:
    for _ in range(int(wait_s / 0.05)):
        if STARTED in server.console:
            return
        try:
            server.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"the server did not start:\n{server.console}")
