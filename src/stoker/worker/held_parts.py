"""Holds the parts of dense streams for a moment, so that those of a batch leave in one message.

Invariants: parts of a batch leave in their order, with the headers that were set before them; what is held is ours: a
handler may change what it has sent.  Who answers a batch, or waits for its readers, first has leave what is held of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker.core.buffer import Buffer
from stoker.ipc.to_server import DROPPED, Failure
from stoker.worker import metas
from stoker.worker.calling import Item
from stoker.worker.connection import Connection
from stoker.worker.exceptions import ServerGone
from stoker.worker.flusher import Flusher
from stoker.worker.gathering import HOLD_S, Gathering
from stoker.worker.inbox import Batch, Inbox
from stoker.worker.metrics_export import export

Targets = Sequence[tuple[int, int]]
"""(job index, row) of each request that a part is for."""


class HeldParts:
    """Call all methods with the inbox's lock."""

    def __init__(self, connection: Connection, inbox: Inbox, *, window_bytes: int, max_part_bytes: int) -> None:
        self._connection = connection
        self._inbox = inbox
        self._window = window_bytes
        self._max_part = max_part_bytes
        self._flusher = Flusher(self._flush_held, pause_s=HOLD_S)
        self._batches: dict[int, Batch] = {}  # of which something is held

    def add(self, batch: Batch, live: list[int], targets: Targets, items: Sequence[Item], now: float) -> bool:
        """Adds a part: an item for each target. Leaves out those that failed, and jobs that are not ``live``.

        Returns whether the part is queued, with all that was held of its batch; else it is held.
        """
        self.count(batch)
        some_left, unread = live is not batch.indices, batch.unread
        lengths, nbytes = [DROPPED] * len(batch.jobs), 0
        payloads: list[Buffer] = []
        for (index, _), item in zip(targets, items):  # noqa: B905 - as many
            if type(item) is Failure or (some_left and index not in live):
                continue
            length = lengths[index] = len(item)
            nbytes += length
            unread[index] = unread.get(index, 0) + length
            payloads.append(item)
        if not payloads:
            return False
        parts = batch.parts
        if parts is None:
            everybody = len(batch.indices) == len(batch.jobs) and not batch.has_tensors
            parts = batch.parts = Gathering(len(batch.jobs) if everybody else -1)
            for index in batch.indices:
                unread.setdefault(index, 0)  # a part need not be for all of them
        found = metas.collect(batch)
        if found != parts.metas:
            self.queue(batch)  # headers that a handler sets later are not those of earlier parts
            parts.metas = found
        if parts.add(nbytes, now):
            parts.lengths += lengths
            parts.payloads += payloads
            self.queue(batch)
            return True
        if not parts.lengths:
            if not self._batches:
                self._flusher.watch()
            self._batches[batch.id] = batch
        parts.lengths += lengths
        for part in payloads:
            parts.payloads.append(part if type(part) is bytes else bytes(part))
        return False

    def follow(self, batch: Batch, ret: Any, now: float) -> bool:
        """Adds a part of one output per row behind those that are held, and sends them if it is time.

        False: it did nothing, and the part takes the long way. That is so unless parts are held, all jobs of the
        batch go on, the first has credit, no headers are set, and outputs are text or bytes of an allowed size. Nearly
        every part of a dense stream comes through here, so this is what one costs the worker.
        """
        parts = batch.parts
        if parts is None or not parts.lengths or type(ret) is not list or len(ret) != parts.rows:
            return False
        held_bytes = parts.held_bytes  # of all rows
        if batch.cancelled or batch.failures or batch.unread[batch.indices[0]] + held_bytes >= self._window:
            return False
        for processor in batch.processors:
            if processor.touched:
                return False
        items, nbytes, most = [], 0, self._max_part
        try:
            for output in ret:
                item = output.encode() if type(output) is str else output
                if type(item) is not bytes or len(item) > most:
                    return False
                nbytes += len(item)
                items.append(item)
        except UnicodeEncodeError:
            return False
        parts.uncounted += items
        if parts.add(nbytes, now):
            self.queue(batch)
            self._connection.flush()
        return True

    def count(self, batch: Batch) -> None:
        """Counts the parts that `follow` added, which counts nothing but the bytes of all rows together."""
        parts = batch.parts
        if parts is not None and parts.uncounted:
            for index, nbytes in zip(batch.indices, parts.count(), strict=True):
                batch.unread[index] += nbytes

    def queue(self, batch: Batch) -> None:
        """Puts what is held of a batch in front of what is queued next."""
        self.count(batch)
        parts = batch.parts
        if parts is None or not parts.lengths:
            return
        self._batches.pop(batch.id, None)
        if export.waiting:
            export.queue(self._connection)
        self._connection.queue(*parts.take(batch.id))

    def queue_all(self) -> None:
        for batch in list(self._batches.values()):
            self.queue(batch)

    def flush(self) -> None:
        """Sends all that is held, behind what is queued. Raises ServerGone."""
        self.queue_all()
        self._connection.flush()

    def _flush_held(self) -> None:
        """Runs in the flusher's thread. While nothing is held, the connection is the loop's alone."""
        with self._inbox.lock:
            if self._batches and not self._connection.abandoned:
                try:
                    self.flush()
                except ServerGone:
                    return  # the loop, or the next part, will find out
