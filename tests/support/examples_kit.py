"""Builds the examples as a user does, and serves them with a real `torchserve` on free ports."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from stoker.bench.ports import free_ports
from stoker.client import Client, Endpoint

ROOT = Path(__file__).resolve().parents[2]
ARCHIVES = ROOT / ".cache" / "archives"
STARTED = "Model server started."
CALL_S = 240.0  # far more than any call takes: a busy machine must not fail a test


def build(name: str, *options: str) -> str:
    """Builds example ``name`` into `ARCHIVES` and returns the output. One build at a time: the second finds it made."""
    command = [sys.executable, "-m", f"examples.{name}.build_archive", "--output", str(ARCHIVES), *options]
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    with (ARCHIVES.parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def picture(name: str) -> bytes:
    """One that scikit-image ships. It is found without an import, because it is installed without its dependencies."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "data", name).read_bytes()


@contextmanager
def serving(*names: str, folder: Path, batch_size: int | None = None, workflow: str = "") -> Iterator[Client]:
    """Yields a client of a server that serves these examples with one worker each, or this one, a workflow."""
    for name in filter(None, (*names, workflow)):
        build(name)
    inference, management = free_ports(2)
    config = folder / "config.properties"
    config.write_text(
        f"grpc_inference_port={inference}\ngrpc_management_port={management}\n"
        "inference_address=http://127.0.0.1:0\nmanagement_address=http://127.0.0.1:0\nmetrics_address=http://127.0.0.1:0\n"
        "disable_token_authorization=true\nenable_model_api=true\n"
    )
    endpoint = Endpoint(inference=f"127.0.0.1:{inference}", management=f"127.0.0.1:{management}")
    with _server(folder, config), Client(endpoint) as client:
        for name in names:
            options: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
            client.register(f"{name}.mar", initial_workers=1, synchronous=True, timeout=CALL_S, **options)
        if workflow:
            client.register_workflow(f"{workflow}.war", timeout=CALL_S)
        yield client


@contextmanager
def _server(folder: Path, config: Path) -> Iterator[None]:
    command = [Path(sys.executable).with_name("torchserve"), "--start", "--foreground"]
    command += ["--model-store", ARCHIVES, "--ts-config", config]
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "LOG_LOCATION": str(folder / "logs")}
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines: Queue[str | None] = Queue()
        reader = threading.Thread(target=_read, args=(process, lines))
        reader.start()
        try:
            _wait_started(lines)
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                reader.join()


def _read(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _wait_started(lines: Queue[str | None]) -> None:
    output: list[str] = []
    while True:
        try:
            line = lines.get(timeout=60)
        except Empty:
            line = None
        assert line is not None, "the server did not start:\n" + "".join(output)
        output.append(line)
        if STARTED in line:
            return
