"""Makes one `Results` message of a finished batch: what each job gets, in the order of the jobs."""

from __future__ import annotations

from typing import Any

from stoker.core.buffer import Buffer
from stoker.ipc.frames import MAX_PAYLOAD_BYTES
from stoker.ipc.to_server import DROPPED, Failure, Results
from stoker.worker import calling, metas
from stoker.worker.inbox import Batch


def make(
    batch: Batch, outputs: list[Any] | Failure, *, max_bytes: int, seconds: float = -1.0
) -> tuple[Results, list[Buffer]]:
    """``outputs``: one per row of the handler, or why there are none. ``seconds``: see `Results`.

    Whatever the handler left behind, there is an answer.
    """
    try:
        items = calling.items_of(outputs, max_bytes=max_bytes) if isinstance(outputs, list) else outputs
        lengths: list[int] = [DROPPED] * len(batch.jobs)
        payloads: list[Buffer] = []
        failures: dict[int, Failure] = {}
        cancelled, failed_before, total = batch.cancelled, batch.failures, 0
        for row, index in enumerate(batch.indices):
            if index in cancelled:
                continue
            item = items if isinstance(items, Failure) else items[row]
            if failed_before and index in failed_before:
                item = failed_before[index]
            if isinstance(item, Failure):
                failures[index], lengths[index] = item, 0
                continue
            total += len(item)
            if total > MAX_PAYLOAD_BYTES:
                failures[index], lengths[index] = calling.too_large(total, MAX_PAYLOAD_BYTES), 0
                continue
            lengths[index] = len(item)
            payloads.append(item)
        return Results(batch.id, lengths, failures, metas.collect(batch), seconds), payloads
    except Exception as error:
        failure = calling.failure_of(error)
    left = {index: batch.failures.get(index, failure) for index in batch.indices if index not in batch.cancelled}
    return Results(batch.id, [0 if index in left else DROPPED for index in range(len(batch.jobs))], left), []
