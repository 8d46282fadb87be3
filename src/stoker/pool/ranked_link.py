"""Connects the server to all ranks of one worker, and presents them to the scheduler as one link.

Each batch goes to all ranks, in the same order, and ends when rank 0 has answered and the others have run it. A batch
that fails on any rank fails. If one rank fails and another does not finish the batch, the other is stuck in a
collective operation, and the worker is restarted.  With pipelines (``parallelType: pp``) only rank 0 gets batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.ranks import Ranks
from stoker.errors import WorkerDied
from stoker.ipc import codec
from stoker.ipc.frames import Frame, FrameError
from stoker.ipc.to_server import Failure, Hello, Loaded, LoadFailed, Metrics, Results
from stoker.ipc.to_worker import Load, Stop
from stoker.pool.link import Link
from stoker.pool.progress import progress_of
from stoker.pool.ranks import RankGroup
from stoker.pool.transport import FrameTransport

FAILED_GRACE_S = 1.0
"""Time for the other ranks to finish a batch that failed on one."""

_SMALL_FRAME_BYTES = 1 << 20


class RankedLink(Link):
    def __init__(self, id: int, group: RankGroup, ranks: Ranks, **options: Any) -> None:
        super().__init__(id, group, **options)
        self._group = group
        self._all_predict = ranks.all_predict
        self._others = [
            FrameTransport(
                process.sock,
                max_payload_bytes=_SMALL_FRAME_BYTES,
                on_frame=partial(self._on_frame_of, number),
                on_lost=self._owner.lost,
            )
            for number, process in enumerate(group.others, 1)
        ]
        self._awaited: dict[int, tuple[type, ...]] = dict.fromkeys(range(1, len(self._others) + 1), (Hello,))
        self._greeted = self._loaded = 0
        self._answer: tuple[Results, memoryview] | None = None
        self._ran: dict[int, Results] = {}
        self._grace_timer: asyncio.TimerHandle | None = None
        self._write = self._write_batch

    def _write_batch(self, buffers: Iterable[Buffer]) -> None:
        buffers = list(buffers)
        self._transport.write(buffers)
        for other in self._others if self._all_predict else ():
            other.write(buffers)

    def load(self, message: Load) -> None:
        """Tells each rank its number, and which of the devices that it sees is its own."""
        for rank, transport in enumerate([self._transport, *self._others]):
            gpu_id = None if message.gpu_id is None else self._group.devices[rank]
            transport.write(codec.encode(msgspec.structs.replace(message, rank=rank, gpu_id=gpu_id)))

    def stop(self) -> None:
        self._group.stopping = True
        for transport in (self._transport, *self._others):
            transport.write(codec.encode(Stop()))

    def start(self) -> None:
        super().start()
        for other in self._others:
            other.start()

    def read_rest(self) -> None:
        super().read_rest()
        for other in self._others:
            other.read_rest()

    def close(self) -> None:
        for other in self._others:
            other.close()
        self._cancel_grace()
        super().close()

    def started(self) -> int | None:
        """Returns the id of the newest batch that any rank has begun; None: a rank's is unknown."""
        if self._progress_fd < 0:
            return self._last_started
        found = [progress_of(rank.progress_fd) for rank in self._group]
        return None if None in found else max(number for number in found if number is not None)

    def _on_frame_of(self, rank: int, frame: Frame) -> None:
        message = codec.decode_to_server(frame.header)
        if isinstance(message, Results):
            self._on_run(rank, message)
        elif isinstance(message, Metrics):
            pass  # rank 0 reports the same requests
        elif not isinstance(message, self._awaited[rank]):
            raise FrameError(f"an unexpected {type(message).__name__}")
        elif isinstance(message, Hello):
            self._awaited[rank] = (Loaded, LoadFailed)
            self._on_hello()
        elif isinstance(message, LoadFailed):
            self._on_load(LoadFailed(number=message.number, message=f"rank {rank}: {message.message}"))
        elif isinstance(message, Loaded):
            self._awaited[rank] = ()
            self._on_load(message)

    def _on_hello(self) -> None:
        self._greeted += 1
        if self._greeted > len(self._others):
            super()._on_hello()

    def _on_load(self, message: Loaded | LoadFailed) -> None:
        """Reports the first failure, or success once all ranks have loaded."""
        self._loaded += 1
        if isinstance(message, LoadFailed) or self._loaded > len(self._others):
            super()._on_load(message)

    def _on_run(self, rank: int, message: Results) -> None:
        self._batch_of(message)
        if rank in self._ran:
            raise FrameError("a second answer to one batch")
        self._ran[rank] = message
        self._settle()

    def _on_results(self, message: Results, payload: memoryview) -> None:
        self._batch_of(message)
        self._answer = message, payload
        self._settle()

    def _settle(self) -> None:
        expected = len(self._others) if self._all_predict else 0
        if self._answer is None or len(self._ran) < expected:
            self._check_failures()
            return
        (message, payload), self._answer = self._answer, None
        failures = {index: _named(rank, found) for rank, index, found in self._failures()}
        self._ran.clear()
        self._cancel_grace()
        super()._on_results(msgspec.structs.replace(message, failures={**failures, **message.failures}), payload)

    def _failures(self) -> list[tuple[int, int, Failure]]:
        """Returns (rank, index of the job, failure) for ranks 1 and up, the lowest rank last."""
        ran = sorted(self._ran.items(), reverse=True)
        return [(rank, index, found) for rank, message in ran for index, found in message.failures.items()]

    def _check_failures(self) -> None:
        found = [(rank, failure) for rank, _, failure in self._failures()]
        if self._answer is not None:
            found += [(0, failure) for failure in self._answer[0].failures.values()]
        if found and self._grace_timer is None:
            rank, failure = found[-1]
            reason = WorkerDied(f"rank {rank} failed ({failure.message}), and another one did not end the batch")
            loop = asyncio.get_running_loop()
            self._grace_timer = loop.call_later(FAILED_GRACE_S, self._owner.restart, reason)

    def _cancel_grace(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None


def _named(rank: int, failure: Failure) -> Failure:
    return msgspec.structs.replace(failure, message=f"{failure.message} (rank {rank})")
