"""The jobs of a batch, as the handler sees them: one dict of values per request, and its headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, cast

from stoker.ipc.to_worker import JobHeader
from stoker.worker.context import RequestProcessor

log = logging.getLogger(__name__)


def build(
    jobs: Iterable[JobHeader], payload: memoryview, wanted: set[int] | None, *, decode: bool
) -> tuple[list[dict[str, Any]], list[RequestProcessor]]:
    """Rows and headers of the jobs whose index is ``wanted`` (None: all), in order."""
    rows: list[dict[str, Any]] = []
    processors: list[RequestProcessor] = []
    position = 0
    for index, job in enumerate(jobs):
        if wanted is not None and index not in wanted:
            position += sum(length for _, _, length in job.inputs)
            continue
        row: dict[str, Any] = {}
        headers = cast(dict[str, Any], job.headers)  # fresh from the wire, nobody else reads it
        for name, content_type, length in job.inputs:
            end = position + length
            value = bytearray(payload[position:end])
            position = end
            row[name] = decoded(value, content_type) if content_type and decode else value
            headers[name] = {"content-type": content_type}
        rows.append(row)
        processors.append(RequestProcessor(headers))
    return rows, processors


def decoded(value: bytearray, content_type: str) -> Any:
    """A parsed JSON document or a str if ``content_type`` says so and it is true, otherwise ``value``."""
    mime = content_type.partition(";")[0].strip().lower()
    try:
        if mime == "application/json":
            return json.loads(value)
        if mime.startswith("text"):
            return value.decode("utf-8")
    except (ValueError, RecursionError) as error:  # ValueError: also bad UTF-8
        log.warning("Failed to decode the request's %s: %s", mime, type(error).__name__)
    return value
