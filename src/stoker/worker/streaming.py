"""Sends the intermediate parts of a batch, no faster than clients read them.

Each job may have a window of unread bytes on its way.  Sending waits only while no job of the batch has credit left,
and reads the socket meanwhile.  When all clients of the batch left, `JobCancelled` ends the handler.

Parts of a dense stream are held for a moment and leave in one message (`gathering` says when).

Laws: any thread of the handler may send; a part that comes after its batch was answered is dropped; what is held is
ours: a handler may change what it has sent; it leaves before its batch's end, and before the handler waits for credit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.core.buffer import Buffer
from stoker.ipc.to_server import DROPPED, Failure, Meta, Parts
from stoker.worker import calling, classic, metas
from stoker.worker.connection import Connection
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, ServerGone
from stoker.worker.flusher import Flusher
from stoker.worker.gathering import HOLD_S, Gathering
from stoker.worker.inbox import Batch, Inbox
from stoker.worker.metrics_export import export
from stoker.worker.tensors import TensorForms

_LOOK_AGAIN_S = 0.001

Targets = Sequence[tuple[int, int]]


class Channel:
    """What `Context.cl_socket` is in a worker: the way of intermediate parts.

    No abstract class, because each part asks for the type of its channel, which of an abstract one takes longer.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Channel:
        return self  # handlers copy contexts; there is one socket

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client of this row left."""
        raise NotImplementedError

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        """Sends one part for each request named in ``req_id_map`` (row -> request id)."""
        raise NotImplementedError


class PartSender(Channel):
    """The channel of a handler that is called for one batch at a time."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        *,
        tensors: TensorForms,
        window_bytes: int,
        max_part_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._tensors = tensors
        self._window = window_bytes
        self._max_part = max_part_bytes
        self._monotonic = monotonic
        self._gathering = Gathering()
        self._flusher = Flusher(self._flush_held, pause_s=HOLD_S)
        self._batch_id = 0  # of what is held
        self._lengths: list[int] = []
        self._payloads: list[Buffer] = []
        self._metas: dict[int, Meta] = {}

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client of this row of the running batch left."""
        batch = self._inbox.current
        if batch is None or not 0 <= row < len(batch.indices):
            return False
        if self._inbox.lock.acquire(blocking=False):  # otherwise another thread is reading already
            try:
                self._look(self._monotonic())
            finally:
                self._inbox.lock.release()
        return batch.indices[row] in batch.cancelled

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        """Sends one part for each request named in ``req_id_map`` (row -> request id).

        Raises: JobCancelled: all clients of this batch left; InvalidPart: ``ret`` breaks a rule of outputs; the whole
        batch fails unless the handler goes on.
        """
        if self._connection.abandoned:
            raise RuntimeError("a process forked from the worker cannot send parts")
        inbox = self._inbox
        batch = inbox.current
        targets = _targets(batch, req_id_map) if batch is not None else ()
        if batch is None or not targets:
            return
        with inbox.lock:
            if inbox.current is not batch:
                return
            now = self._monotonic()
            if self._connection.pending_bytes or now - inbox.read_at > _LOOK_AGAIN_S:
                self._look(now)
            if not batch.live():
                raise JobCancelled
            if code == 200:
                self._send(batch, targets, self._items(batch, targets, ret), now)
            else:
                _refuse(batch, targets, code, message)

    def _items(self, batch: Batch, targets: Targets, ret: Any) -> list[calling.Item]:
        """Returns an item for each target; a job whose own item cannot be sent fails alone. Raises InvalidPart."""
        all_rows = type(ret) is list and targets is batch.targets and len(ret) == len(targets)
        outputs = ret if all_rows else _outputs(ret, targets)
        if batch.has_tensors:
            outputs = self._tensors.answers([batch.jobs[index] for index, _ in targets], outputs)
        items = calling.items_of(outputs, max_bytes=self._max_part)
        if isinstance(items, Failure):
            raise calling.InvalidPart(items)
        for (index, _), item in zip(targets, items):  # noqa: B905 - `items_of` makes one for each
            if type(item) is Failure:
                batch.fail(index, item)
        return items

    def _send(self, batch: Batch, targets: Targets, items: list[calling.Item], now: float) -> None:
        live = self._with_credit(batch)
        some_left, unread = live is not batch.indices, batch.unread
        lengths, payloads, size = [DROPPED] * len(batch.jobs), [], 0
        for (index, _), item in zip(targets, items):  # noqa: B905 - as above
            if type(item) is Failure or (some_left and index not in live):
                continue
            length = lengths[index] = len(item)
            size += length
            unread[index] = unread.get(index, 0) + length
            payloads.append(item)
        if payloads:
            self._hold_or_flush(batch, lengths, payloads, leaves=self._gathering.add(size, now))

    def _with_credit(self, batch: Batch) -> list[int]:
        """Returns the jobs whose client waits, once one of them has credit."""
        live = batch.live()
        while not self._any_credit(batch, live):
            if not live:
                raise JobCancelled
            self._flush()
            self._inbox.read(wait=True)
            live = batch.live()
        return live

    def _any_credit(self, batch: Batch, live: list[int]) -> bool:
        unread = batch.unread
        for index in live:  # noqa: SIM110 - a generator for each part takes longer than all the rest here
            if unread.get(index, 0) < self._window:
                return True
        return False

    def _look(self, now: float) -> None:
        """Sends finished batches and reads messages now: handlers that ask or stream are slow ones."""
        if self._connection.pending_bytes:
            self._connection.flush()
        if now - self._inbox.read_at > _LOOK_AGAIN_S:
            self._inbox.poll()

    # --------------------------------------------------------------------------------- what is held

    def _hold_or_flush(self, batch: Batch, lengths: list[int], payloads: list[Buffer], *, leaves: bool) -> None:
        found = metas.collect(batch)
        if self._lengths and found != self._metas:
            self.queue_held()  # headers that a handler sets later are not those of earlier parts
        is_first = not self._lengths
        if is_first:
            self._batch_id, self._metas = batch.id, found
        self._lengths += lengths
        if leaves:
            self._payloads += payloads
            self._flush()
            return
        for part in payloads:
            self._payloads.append(part if type(part) is bytes else bytes(part))
        if is_first:
            self._flusher.watch()

    def queue_held(self) -> None:
        """Puts what is held in front of what is queued next. Call it with the inbox's lock."""
        if not self._lengths:
            return
        message, payloads = Parts(self._batch_id, self._lengths, self._metas), self._payloads
        self._lengths, self._payloads = [], []
        if export.waiting:
            export.queue(self._connection)
        self._connection.queue(message, payloads)

    def _flush(self) -> None:
        self._gathering.left()
        self.queue_held()
        self._connection.flush()

    def _flush_held(self) -> None:
        """Runs in the flusher's thread. Between handler calls nothing is held: the connection is the loop's alone."""
        with self._inbox.lock:
            if self._lengths and not self._connection.abandoned:
                try:
                    self._flush()
                except ServerGone:
                    return  # the loop, or the next part, will find out


class StepSender(PartSender):
    """The channel of a handler that batches continuously: the rows of a step are batches of their own.

    What a handler sends in the middle of a step leaves at once; it does not wait for readers, who are waited for
    between two steps.
    """

    @property
    def lock(self) -> threading.RLock:
        return self._inbox.lock

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client of this row of the running step left."""
        running = self._inbox.running
        if not 0 <= row < len(running):
            return False
        if self._inbox.lock.acquire(blocking=False):
            try:
                self._look(self._monotonic())
            finally:
                self._inbox.lock.release()
        return bool(running[row].cancelled)

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        """Sends one part for each request named in ``req_id_map`` (row -> request id).

        Raises: InvalidPart: ``ret`` breaks a rule of outputs; the step fails unless the handler goes on.
        """
        if self._connection.abandoned:
            raise RuntimeError("a process forked from the worker cannot send parts")
        if not _is_first_rank():
            return
        with self._inbox.lock:
            known = {batch.jobs[0].request_id: batch for batch in self._inbox.running}
            for row, name in sorted(req_id_map.items()):
                if (batch := known.get(name)) is not None:
                    self.queue_part(batch, row, ret, message, code)
            self._connection.flush()

    def queue_part(self, batch: Batch, row: int, ret: Any, message: str, code: int) -> None:
        """Queues a part of a request that is a batch of its own. Call it with the inbox's lock. Raises InvalidPart."""
        if not batch.live():
            return
        if code != 200:
            _refuse(batch, [(0, row)], code, message)
        elif not isinstance(item := self._items(batch, [(0, row)], ret)[0], Failure):
            batch.add_unread(0, len(item))
            self._connection.queue(Parts(batch.id, [len(item)], metas.collect(batch)), [item])


def send_intermediate_predict_response(
    ret: Any, req_id_map: Mapping[int, str], message: str, code: int, context: Context | None
) -> None:
    """Sends one part of the answer to every request of the batch; what ``handle`` returns is the last part.

    ``ret``: a list with one entry per request, as ``handle`` returns it. ``code`` other than 200 ends the answers with
    ``message`` as their error. Does nothing on ranks other than 0.
    """
    channel = context.cl_socket if context is not None else None
    if isinstance(channel, Channel):
        channel.send(ret, req_id_map, message, code)
    elif not _is_first_rank():
        return
    elif channel is None:
        raise RuntimeError("the context belongs to no running worker: set context.cl_socket in tests")
    else:
        channel.sendall(classic.create_predict_response(ret, req_id_map, message, code, context, True))


def _is_first_rank() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _targets(batch: Batch, req_id_map: Mapping[int, str]) -> Targets:
    """Returns (job index, row) of each request that is part of the batch; on ranks other than 0 none."""
    everybody = batch.targets
    if everybody is None:
        rows = batch.indices if _is_first_rank() else ()
        everybody = batch.targets = [(index, row) for row, index in enumerate(rows)]
    if req_id_map is batch.request_ids or not everybody:
        return everybody
    known = {batch.jobs[index].request_id: index for index in batch.indices}
    return sorted((known[name], row) for row, name in req_id_map.items() if name in known)


def _outputs(ret: Any, targets: Targets) -> list[Any]:
    if type(ret) is not list and (not isinstance(ret, Sequence) or isinstance(ret, str | bytes | bytearray)):
        raise calling.InvalidPart(calling.NOT_A_LIST)
    try:
        return [ret[row] for _, row in targets]
    except IndexError:
        raise calling.InvalidPart(calling.WRONG_LENGTH) from None


def _refuse(batch: Batch, targets: Targets, code: int, message: str) -> None:
    failure = Failure("refused", calling.status_number(code), calling.clean_text(message))
    for index, _ in targets:
        batch.fail(index, failure)
