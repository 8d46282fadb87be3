"""Sends the intermediate parts of a batch, no faster than clients read them.

Each job may have a window of unread bytes on its way.  Sending waits only while no job of the batch has credit left,
and reads the socket meanwhile.  When all clients of the batch left, `JobCancelled` ends the handler.

Parts of a dense stream are held for a moment and leave in one message (`held_parts`).

Invariants: any thread of the handler may send; a part that comes after its batch was answered is dropped.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.ipc.to_server import Failure
from stoker.worker import calling, classic
from stoker.worker.connection import Connection
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled
from stoker.worker.held_parts import HeldParts, Targets
from stoker.worker.inbox import POLL_AGAIN_S, Batch, Inbox
from stoker.worker.tensors import TensorCodec


class Channel:
    """Sends intermediate parts; in a worker, `Context.cl_socket` is one.

    Not an abstract class: each part checks its channel with `isinstance`, which is slower for abstract classes.
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
        tensors: TensorCodec,
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
        self.held = HeldParts(connection, inbox, window_bytes=window_bytes, max_part_bytes=max_part_bytes)

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client of this row of the running batch left."""
        batch = self._inbox.current
        if batch is None or not 0 <= row < len(batch.indices):
            return False
        self._flush_and_poll(batch)
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
        if batch is None:
            return
        with inbox.lock:
            if inbox.current is not batch:
                return
            now = self._monotonic()
            if now - inbox.read_at > POLL_AGAIN_S:
                self._flush_and_poll(batch)
            if code != 200 or req_id_map is not batch.request_ids or not self.held.follow(batch, ret, now):
                self._send(batch, ret, req_id_map, message, code, now)

    def _send(self, batch: Batch, ret: Any, req_id_map: Mapping[int, str], message: str, code: int, now: float) -> None:
        """Sends a part of any kind. Call it with the inbox's lock."""
        targets = _targets(batch, req_id_map)
        if not targets:
            return
        if not batch.live():
            raise JobCancelled
        self.held.count(batch)
        if code == 200:
            items = self._items(batch, targets, ret)
            if self.held.add(batch, self._with_credit(batch), targets, items, now):
                self._connection.flush()
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

    def _with_credit(self, batch: Batch) -> list[int]:
        """Returns the jobs whose client waits, once one of them has credit."""
        live, unread = batch.live(), batch.unread
        while not any(unread.get(index, 0) < self._window for index in live):
            if not live:
                raise JobCancelled
            self.held.flush()
            self._inbox.read(wait=True)
            live = batch.live()
        return live

    def _flush_and_poll(self, batch: Batch | None) -> None:
        """Sends finished batches and reads messages now, because handlers that ask or stream are slow.

        Does nothing once ``batch`` has ended: from then on the loop writes without the lock.
        """
        inbox = self._inbox
        if inbox.lock.acquire(blocking=False):  # otherwise another thread is reading already
            try:
                if inbox.current is not batch:
                    return
                self._connection.flush()
                if self._monotonic() - inbox.read_at > POLL_AGAIN_S:
                    inbox.poll()
            finally:
                inbox.lock.release()


class StepSender(PartSender):
    """The channel of a handler that batches continuously: the rows of a step are batches of their own.

    Parts sent during a step do not wait for readers; the worker waits for them between two steps.
    """

    @property
    def lock(self) -> threading.RLock:
        return self._inbox.lock

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client of this row of the running step left."""
        running = self._inbox.running
        if not 0 <= row < len(running):
            return False
        asked = running[row]
        self._flush_and_poll(None)  # no batch is the current one here, and the loop writes with the lock
        return bool(asked.cancelled)

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
        """Queues or holds a part of a request that is a batch of its own. Call it with the inbox's lock.

        Raises: InvalidPart.
        """
        live, targets = batch.live(), [(0, row)]
        if live and code != 200:
            _refuse(batch, targets, code, message)
        elif live:
            self.held.add(batch, live, targets, self._items(batch, targets, ret), self._monotonic())


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
