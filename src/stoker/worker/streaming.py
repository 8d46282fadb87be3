"""Sends the intermediate parts of a batch, no faster than somebody reads them.

Each job may have a window of unread bytes on its way.  Sending waits only while no job of the batch has credit left,
and reads the socket meanwhile.  When nobody waits for any job of the batch, `JobCancelled` ends the handler.

Laws: any thread of the handler may send; a part that comes after its batch was answered is dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.core.buffer import Buffer
from stoker.ipc.to_server import DROPPED, Failure, Part
from stoker.worker import calling, classic, metas
from stoker.worker.connection import Connection
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled
from stoker.worker.inbox import Batch, Inbox
from stoker.worker.metrics_export import export

_LOOK_AGAIN_S = 0.0003


class PartSender:
    """What `Context.cl_socket` is in a worker."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        *,
        window_bytes: int,
        max_part_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._window = window_bytes
        self._max_part = max_part_bytes
        self._monotonic = monotonic

    def __deepcopy__(self, memo: dict[int, Any]) -> PartSender:
        return self  # handlers copy contexts; there is one socket

    def is_cancelled(self, row: int) -> bool:
        """Whether nobody waits for the request in this row of the running batch."""
        batch = self._inbox.current
        if batch is None or not 0 <= row < len(batch.indices):
            return False
        if self._inbox.lock.acquire(blocking=False):  # otherwise another thread is reading already
            try:
                self._look()
            finally:
                self._inbox.lock.release()
        return batch.indices[row] in batch.cancelled

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        """One part for each request named in ``req_id_map`` (row -> request id).

        Raises:
            JobCancelled: nobody waits for this batch any more.
            InvalidPart: ``ret`` breaks a rule of outputs; the whole batch fails unless the handler goes on.
        """
        if self._connection.abandoned:
            raise RuntimeError("a process forked from the worker cannot send parts")
        batch = self._inbox.current
        targets = _targets(batch, req_id_map) if batch is not None else []
        if batch is None or not targets:
            return
        with self._inbox.lock:
            if self._inbox.current is not batch:
                return
            self._look()
            _raise_unless_live(batch)
            if code == 200:
                self._send(batch, self._items(batch, targets, ret))
            else:
                _refuse(batch, targets, code, message)

    def _items(self, batch: Batch, targets: list[tuple[int, int]], ret: Any) -> dict[int, Buffer]:
        """By job index; a job whose own item cannot be sent fails alone."""
        items = calling.items_of(_outputs(ret, targets), max_bytes=self._max_part)
        if isinstance(items, Failure):
            raise calling.InvalidPart(items)
        parts: dict[int, Buffer] = {}
        for (index, _), item in zip(targets, items, strict=True):
            if isinstance(item, Failure):
                batch.fail(index, item)
            else:
                parts[index] = item
        return parts

    def _send(self, batch: Batch, parts: dict[int, Buffer]) -> None:
        self._wait_for_credit(batch)
        lengths, payloads = [DROPPED] * len(batch.jobs), []
        for index in batch.live():
            part = parts.get(index)
            if part is not None:
                lengths[index] = len(part)
                batch.add_unread(index, len(part))
                payloads.append(part)
        if payloads:
            if export.waiting:
                export.queue(self._connection)
            self._connection.queue(Part(batch.id, lengths, metas.collect(batch)), payloads)
            self._connection.flush()

    def _wait_for_credit(self, batch: Batch) -> None:
        _raise_unless_live(batch)
        while all(batch.unread.get(index, 0) >= self._window for index in batch.live()):
            self._connection.flush()
            self._inbox.read(wait=True)
            _raise_unless_live(batch)

    def _look(self) -> None:
        """Handlers that ask or stream are slow ones: finished batches leave now, news are taken in."""
        self._connection.flush()
        if self._monotonic() - self._inbox.read_at > _LOOK_AGAIN_S:
            self._inbox.poll()


def send_intermediate_predict_response(
    ret: Any, req_id_map: Mapping[int, str], message: str, code: int, context: Context | None
) -> None:
    """Sends one part of the answer to every request of the batch; what ``handle`` returns is the last part.

    ``ret``: a list with one entry per request, as ``handle`` returns it. ``code`` other than 200 ends the answers with
    ``message`` as their error. Does nothing on ranks other than 0.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    channel = context.cl_socket if context is not None else None
    if isinstance(channel, PartSender):
        channel.send(ret, req_id_map, message, code)
    elif channel is None:
        raise RuntimeError("the context belongs to no running worker: set context.cl_socket in tests")
    else:
        channel.sendall(classic.create_predict_response(ret, req_id_map, message, code, context, True))


def _targets(batch: Batch, req_id_map: Mapping[int, str]) -> list[tuple[int, int]]:
    """(job index, row) of each request that is part of the batch."""
    if req_id_map is batch.request_ids:
        return [(index, row) for row, index in enumerate(batch.indices)]
    known = {batch.jobs[index].request_id: index for index in batch.indices}
    return [(known[name], row) for row, name in req_id_map.items() if name in known]


def _outputs(ret: Any, targets: list[tuple[int, int]]) -> list[Any]:
    if not isinstance(ret, Sequence) or isinstance(ret, str | bytes | bytearray):
        raise calling.InvalidPart(calling.NOT_A_LIST)
    try:
        return [ret[row] for _, row in targets]
    except IndexError:
        raise calling.InvalidPart(calling.WRONG_LENGTH) from None


def _refuse(batch: Batch, targets: list[tuple[int, int]], code: int, message: str) -> None:
    failure = Failure("refused", calling.status_number(code), calling.clean_text(message))
    for index, _ in targets:
        batch.fail(index, failure)


def _raise_unless_live(batch: Batch) -> None:
    if not batch.live():
        raise JobCancelled
