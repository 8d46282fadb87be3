"""A worker's end of a link, and a recorder of what the server's end reports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from stoker.core.job import Batch, Input, Job, ModelKey
from stoker.core.measures import HandlerSample, Unmeasured
from stoker.core.ports import Outcome
from stoker.core.reply import Chunk
from stoker.errors import ServingError
from stoker.ipc import codec
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Decoder, FrameError
from stoker.ipc.tls_socket import TlsSocket
from stoker.ipc.to_server import Loaded, LoadFailed, ToServer
from stoker.ipc.to_worker import ToWorker
from stoker.pool.busy import BusyWorkers
from stoker.pool.link import Link

KEY = ModelKey("m", "1")


class Recorder:
    """Scheduler and owner in one; ``telemetry`` tells it, too."""

    def __init__(self) -> None:
        self.telemetry = RecordingTelemetry(self)
        self.busy = BusyWorkers(2)
        self.events: list[tuple[object, ...]] = []
        self.changed = asyncio.Event()

    def _note(self, *event: object) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, count: int) -> list[tuple[object, ...]]:
        while len(self.events) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 30)
        return self.events

    def batch_parts(self, worker: object, batch_id: int, parts: Sequence[Sequence[Chunk]]) -> None:
        self._note("part", batch_id, list(parts))

    def batch_done(self, worker: object, batch_id: int, outcomes: Sequence[Outcome], handler_s: float = -1.0) -> None:
        self._note("done", batch_id, list(outcomes))

    def greeted(self) -> None:
        self._note("greeted")

    def loaded(self, message: Loaded | LoadFailed) -> None:
        self._note("loaded", message)

    def answered(self) -> None:
        pass

    def lost(self, error: FrameError | None) -> None:
        self._note("lost", error)

    def restart(self, reason: ServingError) -> None:
        self._note("restart", reason)


class RecordingTelemetry(Unmeasured):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def predicted(self, seconds: float, jobs: Sequence[object]) -> None:
        self._recorder._note("predicted", seconds, list(jobs))

    def recorded(self, sample: HandlerSample) -> None:
        self._recorder._note("recorded", sample)


class FakeProcess:
    """What a link needs of a `WorkerProcess`."""

    def __init__(self, sock: Stream, *, shares_cores: bool = True) -> None:
        self.sock = sock
        self.shares_cores = shares_cores
        self.progress_fd = os.memfd_create("test")
        os.ftruncate(self.progress_fd, 8)


class Peer:
    """A worker that reads and writes when the test says so."""

    def __init__(self, sock: Stream) -> None:
        self.sock = sock
        self._decoder = Decoder()

    async def say(self, message: ToServer, *payloads: bytes) -> None:
        data = b"".join(codec.encode(message, payloads))
        if isinstance(self.sock, TlsSocket):
            await asyncio.to_thread(self.sock.sendall, data)
        else:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear(self, count: int) -> list[tuple[ToWorker, bytes]]:
        heard: list[tuple[ToWorker, bytes]] = []
        while len(heard) < count:
            data = await self._receive()
            for frame in self._decoder.feed(data):
                heard.append((codec.decode_to_worker(frame.header), bytes(frame.payload)))
        return heard

    async def _receive(self) -> bytes:
        if isinstance(self.sock, TlsSocket):
            return await asyncio.to_thread(self.sock.recv, 65536)
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)


Scenario = Callable[[Link, Recorder, Peer], Awaitable[None]]
Play = Callable[..., None]


def batch(number: int, *values: bytes, headers: dict[str, str] | None = None) -> Batch:
    return Batch(number, [Job(KEY, [Input("data", "", value)], headers=headers or {}) for value in values])
