"""Starts a real worker process over a socket pair and speaks the server's side, blocking."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from stoker.ipc import codec, frames
from stoker.ipc.to_server import DROPPED, Loaded, Parts, Results, ToServer
from stoker.ipc.to_worker import JobHeader, Load, Predict, Stop, ToWorker

SUPPORT = Path(__file__).resolve().parent


def handler(body: str) -> str:
    """A function handler with this body; ``data`` is not None in it and ``text`` is the first row's value."""
    head = "import os, sys, threading, multiprocessing, subprocess, signal, time\n"
    check = "    if data is None:\n        return None\n    text = bytes(data[0]['data']).decode()\n"
    return f"{head}def handle(data, context):\n{check}{textwrap.indent(textwrap.dedent(body), '    ')}\n"


class WorkerProcess:
    """``with`` it: the process group is gone afterwards, whatever happened."""

    def __init__(self, model_dir: Path, source: str | None = None, *, handler: str = "handler.py", **load: Any) -> None:
        if source is not None:
            (model_dir / "handler.py").write_text(source)
        self._load = Load(model_name="m", model_dir=str(model_dir), handler=handler, **load)
        self._model_dir = model_dir
        self._decoder = frames.Decoder()
        self._received: list[tuple[ToServer, bytes]] = []
        self._items: list[list[Any]] = []
        self._jobs: dict[int, int] = {}  # of each batch

    def __enter__(self) -> WorkerProcess:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(60)
        self._marker = os.memfd_create("progress")
        os.ftruncate(self._marker, 8)
        fds = [theirs.fileno(), self._marker]
        command = [sys.executable, "-u", "-m", "stoker.worker.main", "--name", "W-9000-m_1.0"]
        command += ["--socket-fd", str(fds[0]), "--progress-fd", str(fds[1])]
        self.process = subprocess.Popen(
            command,
            pass_fds=fds,
            cwd=self._model_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()
        self.socket.close()
        os.close(self._marker)

    # -------------------------------------------------------------------------------------------- speaking

    def send(self, message: ToWorker, *payloads: bytes) -> None:
        for buffer in codec.encode(message, payloads):
            self.socket.sendall(buffer)

    def load(self) -> ToServer:
        """The answer to `Load`, after `Hello`."""
        self.send(self._load)
        hello, _ = self.receive()
        assert type(hello).__name__ == "Hello"
        return self.receive()[0]

    def predict(self, batch_id: int, *values: bytes) -> None:
        jobs = [JobHeader(f"id-{batch_id}-{i}", [("data", "", len(v))], {}, None) for i, v in enumerate(values)]
        self._jobs[batch_id] = len(jobs)
        self.send(Predict(batch_id, jobs), *values)

    def receive(self) -> tuple[ToServer, bytes]:
        """The next message. Raises EOFError when the worker's end is closed."""
        while not self._received:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError:  # a worker that died left messages unread
                raise EOFError from None
            if not data:
                raise EOFError
            self._received += [(codec.decode_to_server(f.header), bytes(f.payload)) for f in self._decoder.feed(data)]
        return self._received.pop(0)

    def items(self) -> list[Any]:
        """The next part or results: bytes, a failure, or None for each job."""
        while not self._items:
            message, payload = self.receive()
            assert isinstance(message, Parts | Results)
            self._cut(message, payload)
        return self._items.pop(0)

    def _cut(self, message: Parts | Results, payload: bytes) -> None:
        """Parts may have left together."""
        failures, jobs = getattr(message, "failures", {}), self._jobs[message.batch_id]
        for number, length in enumerate(message.lengths):
            if number % jobs == 0:
                self._items.append([])
            size = max(length, 0)
            item = None if length == DROPPED else failures.get(number, payload[:size])
            self._items[-1].append(item)
            payload = payload[size:]

    def ask(self, batch_id: int, *values: bytes) -> list[Any]:
        self.predict(batch_id, *values)
        return self.items()

    def marker(self) -> int:
        return int(struct.unpack("<Q", os.pread(self._marker, 8, 0))[0])

    def stop(self) -> int:
        self.send(Stop())
        return self.process.wait(30)

    def finish(self) -> tuple[int, str, str]:
        """Exit status, standard output and standard error, once the process ended by itself."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.decode(), err.decode()


Start = Callable[..., WorkerProcess]


def loaded(process: WorkerProcess) -> WorkerProcess:
    answer = process.load()
    assert isinstance(answer, Loaded), answer
    return process
