"""Gives each test a folder of its own, with the real `torchserve` command in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
from model_kit import model_archive
from processes import environment_of
from waiting import wait_until

from stoker.bench.ports import free_ports
from stoker.client import Client, Endpoint

TORCHSERVE = Path(sys.executable).with_name("torchserve")
STARTED = "Model server started."
HANDLER = """
import time

def handle(data, context):
    if data is None:
        return None
    texts = [bytes(row["data"]).decode() for row in data]
    for text in texts:
        if text.startswith("sleep "):
            time.sleep(float(text[6:]))
    return ["got " + text for text in texts]
"""


def archive(folder: Path, name: str, source: str = HANDLER) -> Path:
    folder.mkdir(exist_ok=True)
    return model_archive(folder, name, source)


def wait_until_served(client: Client, model: str) -> None:
    """Waits until the model answers.

    A registered model is there once the server is up: an unknown name is an error at once.
    """
    wait_until(lambda: client.health(model) == "SERVING", f"{model} is served")


def default_ports_are_free() -> bool:
    for port in (7070, 7071, 8080, 8081, 8082):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


class Place:
    """A current folder with ``models``, a temp folder and ports. No server remains after `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "models"
        self.temp = folder / "tmp"
        self.store.mkdir()
        self.temp.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TS_")} | {"TEMP": str(self.temp)}
        five = free_ports(5)
        self.ports, self.rest_ports = five[:2], five[2:]
        self._outputs = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def endpoint(self) -> Endpoint:
        inference, management = self.ports
        return Endpoint(inference=f"127.0.0.1:{inference}", management=f"127.0.0.1:{management}")

    def client(self) -> Client:
        return Client(self.endpoint)

    @property
    def port_lines(self) -> list[str]:
        """Returns properties that move the server's listeners to free ports."""
        inference, management = self.ports
        rest, rest_management, metrics = self.rest_ports
        return [
            f"grpc_inference_port={inference}",
            f"grpc_management_port={management}",
            f"inference_address=http://127.0.0.1:{rest}",
            f"management_address=http://127.0.0.1:{rest_management}",
            f"metrics_address=http://127.0.0.1:{metrics}",
        ]

    def configure(self, *lines: str) -> None:
        """Writes `config.properties`: free ports, the model API on, no tokens; and ``lines``."""
        text = [
            *self.port_lines,
            "enable_model_api=true",
            "disable_token_authorization=true",
            "default_workers_per_model=1",
            *lines,
        ]
        (self.folder / "config.properties").write_text("\n".join(text))

    def owns(self, process: subprocess.Popen[bytes]) -> None:
        """Registers a process for `close` to end."""
        self._processes.append(process)

    def popen(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Starts the command with its output in a file, because a server in the background keeps it open."""
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [TORCHSERVE, *arguments], cwd=self.folder, env=self.env, stdout=stream, stderr=subprocess.STDOUT
            )
        self.owns(process)
        return process, output

    def run(self, *arguments: str) -> tuple[int, str]:
        """Returns exit status and output."""
        process, output = self.popen(*arguments)
        status = process.wait(90)
        return status, output.read_text()

    def start(self, *arguments: str) -> str:
        status, text = self.run("--start", "--model-store", "models", *arguments)
        assert status == 0, text
        assert STARTED in text
        return text

    def foreground(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        process, output = self.popen("--start", "--foreground", "--model-store", "models", *arguments)
        wait_until(lambda: STARTED in output.read_text() or process.poll() is not None, "the server starts")
        assert process.poll() is None, output.read_text()
        return process, output

    def server(self) -> psutil.Process:
        return psutil.Process(int((self.temp / ".model_server.pid").read_text()))

    def close(self) -> None:
        """Ends what the test started, by pid."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(30)
        try:
            server = self.server()
        except (FileNotFoundError, psutil.NoSuchProcess):
            return
        if environment_of(server).get("TEMP") == str(self.temp):
            server.send_signal(signal.SIGKILL)
