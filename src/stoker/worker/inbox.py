"""Keeps batches that wait for their turn, and reads what the server sends about them meanwhile.

Whoever needs news reads the socket here: the loop between batches, a streaming handler while it waits for credit,
a handler that asks whether its request is cancelled.  All of them hold `lock`, because handlers have threads.

Invariant: no message is ever dropped. A batch that arrives while a handler waits for a grant waits in `waiting`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType

from msgspec import Struct, field

from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import Cancel, Grant, JobHeader, Load, Predict, Stop, ToWorker
from stoker.worker.connection import Connection
from stoker.worker.context import RequestProcessor
from stoker.worker.gathering import Gathering

POLL_AGAIN_S = 0.001
"""Least time between two reads of the socket for a handler that asks or sends; sooner, what was read last counts."""

_NONE_CANCELLED: frozenset[int] = frozenset()
_NO_FAILURES: Mapping[int, Failure] = MappingProxyType({})


class Batch(Struct, eq=False):
    """One `Predict`, from its arrival to its answer.

    ``cancelled``: indices of jobs whose client left.  ``payload`` is gone once the rows are made.  From its start
    on, ``indices`` says which job each row of the handler is, ``processors`` and ``request_ids`` are those of the rows.
    ``targets``: (job index, row) of all rows, once a part was sent.  ``unread``: bytes of parts on their way to each
    job's reader.  ``parts``: those that leave next, once a part was sent.  ``failures``: jobs that failed while the
    handler runs.  ``has_tensors``: the result of some rows is tensors.
    """

    id: int
    jobs: list[JobHeader]
    payload: memoryview | None
    payload_bytes: int
    cancelled: Set[int] = _NONE_CANCELLED
    failures: Mapping[int, Failure] = _NO_FAILURES
    unread: dict[int, int] = field(default_factory=dict)
    has_tensors: bool = False
    indices: list[int] = field(default_factory=list)
    processors: list[RequestProcessor] = field(default_factory=list)
    request_ids: dict[int, str] = field(default_factory=dict)
    targets: list[tuple[int, int]] | None = None
    parts: Gathering | None = None

    def fail(self, index: int, failure: Failure) -> None:
        """Fails a job for good; its first failure stands."""
        self.failures = {index: failure, **self.failures}

    def live(self) -> list[int]:
        """Returns the jobs of the running handler call whose client still waits. Do not change the result."""
        if not self.cancelled and not self.failures:
            return self.indices
        return [index for index in self.indices if index not in self.cancelled and index not in self.failures]


class Inbox:
    """``current``: the batch that the handler runs; ``running``: those in progress where several run at once.
    ``read_at``: monotonic seconds of the last read of the socket. ``stopping``: `Stop` was received. ``may_poll``:
    whether there was a core to spare when the newest batch was sent. ``on_news``: called with a batch that was
    cancelled or whose reader has read."""

    def __init__(self, connection: Connection, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self.lock = threading.RLock()
        self.waiting: deque[Batch] = deque()
        self.current: Batch | None = None
        self.running: list[Batch] = []
        self.read_at = 0.0
        self.stopping = False
        self.may_poll = False
        self.on_news: Callable[[Batch], None] | None = None

    def renew_lock(self) -> None:
        """Renews the lock in a process that the handler forked: a thread that is not there may have held it."""
        self.lock = threading.RLock()

    def receive_load(self) -> Load | None:
        """Returns the first message, None when the server stops; keeps what follows. Raises FrameError."""
        (message, _), *rest = self._connection.receive(wait=True)
        for received in rest:
            self._take(*received)
        if isinstance(message, Load | Stop):
            return message if isinstance(message, Load) else None
        raise FrameError(f"{type(message).__name__} before Load")

    def read(self, *, wait: bool) -> None:
        """Handles what the server has sent; with ``wait`` at least one message."""
        with self.lock:
            received = self._connection.receive(wait=wait)
            self.read_at = self._monotonic()
            for message, payload in received:
                self._take(message, payload)

    def busy_poll(self, seconds: float) -> bool:
        """Polls the socket for up to ``seconds`` without sleeping. Returns whether messages came."""
        with self.lock:
            end = self._monotonic() + seconds
            while not (received := self._connection.receive(wait=False)):
                if self._monotonic() >= end:
                    return False
            self.read_at = self._monotonic()
            for message, payload in received:
                self._take(message, payload)
            return True

    def poll(self) -> None:
        """Handles all that the server has sent so far."""
        with self.lock:
            while received := self._connection.receive(wait=False):
                for message, payload in received:
                    self._take(message, payload)
            self.read_at = self._monotonic()

    def _take(self, message: ToWorker, payload: memoryview) -> None:
        if isinstance(message, Predict):
            self.waiting.append(Batch(message.batch_id, message.jobs, payload, len(payload)))
            self.may_poll = message.may_poll
        elif isinstance(message, Grant):
            self._granted(message)
        elif isinstance(message, Cancel):
            self._cancelled(message)
        elif isinstance(message, Stop):
            self.stopping = True
        else:
            raise FrameError(f"{type(message).__name__} is not expected now")

    def _granted(self, grant: Grant) -> None:
        batch = self._find(grant.batch_id)
        if batch is not None and grant.index in batch.unread:
            batch.unread[grant.index] -= grant.nbytes
            if self.on_news is not None:
                self.on_news(batch)

    def _cancelled(self, cancel: Cancel) -> None:
        batch = self._find(cancel.batch_id)
        if batch is not None:  # otherwise its answer is on its way already
            batch.cancelled |= {cancel.index}
            if self.on_news is not None:
                self.on_news(batch)

    def _find(self, batch_id: int) -> Batch | None:
        if self.current is not None and self.current.id == batch_id:
            return self.current
        return next((batch for batch in (*self.running, *self.waiting) if batch.id == batch_id), None)
