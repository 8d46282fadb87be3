"""Makes the handler's rows from the jobs of a batch: one dict of values per request, and its headers.

Jobs that are cancelled or late are left out here.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from stoker.worker import calling
from stoker.worker.context import RequestProcessor
from stoker.worker.inbox import Batch
from stoker.worker.tensors import TensorCodec

log = logging.getLogger(__name__)


def begin(batch: Batch, now: float, *, decode: bool, tensors: TensorCodec) -> list[dict[str, Any]]:
    """Makes rows of the jobs that still count, and records in the batch which these are."""
    rows: list[dict[str, Any]] = []
    indices, processors, ids = batch.indices, batch.processors, batch.request_ids
    payload, cancelled, end = batch.payload, batch.cancelled, 0
    assert payload is not None, "a batch begins once"
    batch.payload = None  # the rows have it all
    for index, job in enumerate(batch.jobs):
        if index in cancelled or (job.deadline is not None and job.deadline < now):
            end += sum(length for _, _, length in job.inputs)
            continue
        row: dict[str, Any] = {}
        headers: dict[str, Any] = job.headers  # fresh from the wire, without other readers
        for name, content_type, length in job.inputs:
            start, end = end, end + length
            value = _value(payload, start, end)
            row[name] = decoded(value, content_type) if content_type and decode else value
            headers[name] = {"content-type": content_type}
        if job.tensors:
            batch.has_tensors = True
            try:
                row = tensors.row(job.tensors, row, headers)
            except Exception as error:  # of numpy or torch: the request fails, the worker lives
                batch.fail(index, calling.failure_of(error))
        ids[len(rows)] = job.request_id
        indices.append(index)
        rows.append(row)
        processors.append(RequestProcessor(headers))
    return rows


def _value(payload: memoryview, start: int, end: int) -> bytearray:
    """Copies a value; a large payload that is one value is in a bytearray of its own (`ipc.frames`), which is returned.

    Empty values may follow that one, after the payload was released.
    """
    if start == end:
        return bytearray()
    whole = payload.obj
    if isinstance(whole, bytearray) and len(whole) == end - start:
        payload.release()  # or the handler could not resize it
        return whole
    return bytearray(payload[start:end])


def decoded(value: bytearray, content_type: str) -> Any:
    """Returns a parsed JSON document or a str if ``content_type`` says so and it decodes, otherwise ``value``."""
    mime = content_type.partition(";")[0].strip().lower()
    try:
        if mime == "application/json":
            return json.loads(value)
        if mime.startswith("text"):
            return value.decode("utf-8")
    except (ValueError, RecursionError) as error:  # ValueError: also bad UTF-8
        log.warning("Failed to decode the request's %s: %s", mime, type(error).__name__)
    return value
