"""Runs a worker loop over a socket pair with the test as its server: no process, no thread, no waiting.

The test writes all messages first, `Stop` last; `run` returns once the worker has answered them.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Any

from fake_time import FakeTime

from stoker.core.tensors import PLAIN, TensorInterface
from stoker.ipc import codec, frames
from stoker.ipc.to_server import DROPPED, Failure, Meta, Parts, Results, ToServer
from stoker.ipc.to_worker import JobHeader, Predict, Stop, ToWorker
from stoker.worker.asynchronous import AsyncLoop, make_event_loop
from stoker.worker.connection import Connection
from stoker.worker.context import Context
from stoker.worker.continuous import ContinuousLoop
from stoker.worker.inbox import Inbox
from stoker.worker.loading import LoadedModel
from stoker.worker.loop import Loop
from stoker.worker.progress import Progress
from stoker.worker.streaming import PartSender, StepSender, send_intermediate_predict_response
from stoker.worker.tensors import TensorCodec


def part(context: Context, *values: Any) -> None:
    """Sends a part for each request of the batch, from its handler."""
    assert context.request_ids is not None
    send_intermediate_predict_response(
        list(values), context.request_ids, "Intermediate Prediction success", 200, context
    )


class ServerEnd:
    """The server's end of the socket pair: blocking sends and reads."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._decoder = frames.Decoder()
        self._received: list[tuple[ToServer, bytes]] = []

    def send(self, message: ToWorker, *payloads: bytes) -> None:
        for buffer in codec.encode(message, payloads):
            self.socket.sendall(buffer)

    def receive(self) -> tuple[ToServer, bytes]:
        while not self._received:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            self._received += [(codec.decode_to_server(f.header), bytes(f.payload)) for f in self._decoder.feed(data)]
        return self._received.pop(0)

    def waiting(self) -> list[tuple[ToServer, bytes]]:
        """Returns everything written so far."""
        self.socket.setblocking(False)
        try:
            while True:
                data = self.socket.recv(1 << 20)
                if not data:
                    break
                self._received += [
                    (codec.decode_to_server(f.header), bytes(f.payload)) for f in self._decoder.feed(data)
                ]
        except BlockingIOError:
            pass
        finally:
            self.socket.setblocking(True)
        found, self._received = self._received, []
        return found


class Rig:
    def __init__(
        self,
        *,
        window_bytes: int = 1 << 20,
        max_response_bytes: int = 1 << 20,
        metrics: Any = None,
        interface: TensorInterface = PLAIN,
    ) -> None:
        self.tensors = TensorCodec(interface, "m")
        ours, theirs = socket.socketpair()
        self.server = ServerEnd(ours)
        self.time = FakeTime()
        self.marker = bytearray(8)
        self.context = Context("m", "/models/m", None, 1, None, "0.12.0", True, metrics)
        self.connection = Connection(theirs)
        self.inbox = Inbox(self.connection, monotonic=self.time)
        self.sender = PartSender(
            self.connection,
            self.inbox,
            tensors=self.tensors,
            window_bytes=window_bytes,
            max_part_bytes=max_response_bytes,
            monotonic=self.time,
        )
        self._window = window_bytes
        self._max_response = max_response_bytes
        self._ids = itertools.count(1)
        self._jobs: dict[int, int] = {}  # of each batch

    def predict(self, *values: bytes, deadlines: dict[int, float] | None = None, headers: Any = None) -> int:
        """Sends one batch with one ``data`` value per job; returns its id."""
        batch_id = next(self._ids)
        jobs = [
            JobHeader(f"id-{batch_id}-{i}", [("data", "", len(value))], dict(headers or {}), (deadlines or {}).get(i))
            for i, value in enumerate(values)
        ]
        self._jobs[batch_id] = len(jobs)
        self.server.send(Predict(batch_id, jobs), *values)
        return batch_id

    def run(self, handle: Callable[[Any, Context], Any], *, decode: bool = True) -> None:
        self.server.send(Stop())
        self.loop(handle, decode=decode).run()

    def loop(self, handle: Callable[[Any, Context], Any], *, decode: bool = True, poll_s: float = 0.0) -> Loop:
        return Loop(
            self.connection,
            self.inbox,
            self.sender,
            LoadedModel(handle, self.context),
            Progress(self.marker),
            tensors=self.tensors,
            max_response_bytes=self._max_response,
            decode_input_request=decode,
            poll_s=poll_s,
            monotonic=self.time,
        )

    def run_continuously(self, handle: Callable[[Any, Context], Any]) -> None:
        """As `run`, with requests that join and leave between two calls. They are batches of one."""
        self._run_several(ContinuousLoop, handle)

    def run_async(self, handle: Callable[[Any, Context], Any]) -> None:
        """As `run`, with an asynchronous handler. Requests are batches of one."""
        loop = make_event_loop()
        try:
            self._run_several(AsyncLoop, handle)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _run_several(self, kind: type[ContinuousLoop | AsyncLoop], handle: Callable[[Any, Context], Any]) -> None:
        self.server.send(Stop())
        limit = self._max_response
        sender = StepSender(
            self.connection,
            self.inbox,
            tensors=self.tensors,
            window_bytes=self._window,
            max_part_bytes=limit,
            monotonic=self.time,
        )
        kind(
            self.connection,
            self.inbox,
            sender,
            LoadedModel(handle, self.context),
            Progress(self.marker),
            tensors=self.tensors,
            window_bytes=self._window,
            max_response_bytes=limit,
            monotonic=self.time,
        ).run()

    def messages(self) -> list[bytes]:
        """Returns the payloads of what was sent, message by message."""
        return [payload for _, payload in self.server.waiting()]

    def answers(self) -> list[Answer]:
        """Parts that left in one message are that many answers."""
        return [answer for message, payload in self.server.waiting() for answer in self._cut(message, payload)]

    def _cut(self, message: ToServer, payload: bytes) -> Iterator[Answer]:
        assert isinstance(message, Parts | Results)
        jobs = self._jobs.get(message.batch_id, len(message.lengths))
        for start in range(0, len(message.lengths), jobs):
            lengths = message.lengths[start : start + jobs]
            size = sum(length for length in lengths if length != DROPPED)
            yield Answer(message, lengths, payload[:size])
            payload = payload[size:]
        assert not payload

    def close(self) -> None:
        self.server.socket.close()
        self.connection.abandon()


class Answer:
    """One part or `Results` with its payload cut into items: bytes, a `Failure`, or None for `DROPPED`."""

    def __init__(self, message: Parts | Results, lengths: list[int], payload: bytes) -> None:
        self.part = isinstance(message, Parts)
        self.batch_id = message.batch_id
        self.metas: dict[int, Meta] = message.metas
        self.failures: dict[int, Failure] = getattr(message, "failures", {})
        self.items = list(self._cut(lengths, payload))

    def _cut(self, lengths: list[int], payload: bytes) -> Iterator[bytes | Failure | None]:
        position = 0
        for index, length in enumerate(lengths):
            if length == DROPPED:
                yield None
            elif index in self.failures:
                assert length == 0
                yield self.failures[index]
            else:
                yield payload[position : position + length]
                position += length
        assert position == len(payload)
