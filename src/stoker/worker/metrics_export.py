"""Sends what a handler records to the server: in front of the next answer, in the same write.

What is recorded while no batch runs (at loading, by threads, in a process that the handler forked), and what exceeds
`MOST_WAITING` samples, is printed as TorchServe prints it: the server reads these lines, too.
"""

from __future__ import annotations

import sys
from collections import deque

from stoker.ipc import to_server
from stoker.worker.connection import Connection
from stoker.worker.inbox import Inbox
from stoker.worker.metrics_caching import line
from stoker.worker.metrics_types import Sample

MOST_WAITING = 10_000
_PER_MESSAGE = 1000
_LONGEST_TEXT = 1024
_MOST_DIMENSIONS = 64


class Exporter:
    """Receives what `CachingMetric` records, from any thread: its ``emit`` hook. ``muted``: drops what is recorded."""

    def __init__(self) -> None:
        self.waiting: deque[Sample] = deque()
        self.muted = False
        self._inbox: Inbox | None = None
        self._connection: Connection | None = None

    def attach(self, inbox: Inbox, connection: Connection) -> None:
        """Connects the exporter to the server."""
        self._inbox, self._connection = inbox, connection

    def __call__(self, sample: Sample) -> None:
        if self.muted:
            return
        if self._is_batch_running() and len(self.waiting) < MOST_WAITING:
            self.waiting.append(sample)
        else:
            _print(sample)

    def _is_batch_running(self) -> bool:
        inbox, connection = self._inbox, self._connection
        if inbox is None or connection is None or connection.abandoned:
            return False
        return inbox.current is not None or bool(inbox.running)

    def queue(self, connection: Connection) -> None:
        """Puts all that waits in front of what is queued next."""
        waiting = self.waiting
        while waiting:
            samples = [_message(waiting.popleft()) for _ in range(min(len(waiting), _PER_MESSAGE))]
            connection.queue(to_server.Metrics(samples))


export = Exporter()
"""The only exporter of this process: metrics are made before the connection, in a template even in another process."""


def _message(sample: Sample) -> to_server.Sample:
    dimensions = [(_text(name), _text(value)) for name, value in sample.dimensions[:_MOST_DIMENSIONS]]
    return to_server.Sample(
        _text(sample.name),
        sample.type.value,
        _text(sample.unit),
        dimensions,
        sample.value,
        _encodable(sample.request_id),
    )


def _text(value: str) -> str:
    return _encodable(value[:_LONGEST_TEXT])


def _encodable(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _print(sample: Sample) -> None:
    dimensions = ",".join(f"{name}:{value}" for name, value in sample.dimensions)
    try:
        text = line(sample.name, sample.unit, sample.type, sample.value, dimensions, sample.request_id)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except Exception:  # a handler may have replaced or closed it: that costs a metric, not a request
        return
