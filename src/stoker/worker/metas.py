"""Collects status and headers that a handler set, for the server: usually nothing."""

from __future__ import annotations

import logging

from stoker.ipc.to_server import Meta
from stoker.worker.calling import clean_text, status_number
from stoker.worker.context import RequestProcessor
from stoker.worker.inbox import Batch

log = logging.getLogger(__name__)

_MAX_HEADER_CHARACTERS = 1 << 20


def collect(batch: Batch) -> dict[int, Meta]:
    """Collects by job index, for the jobs whose handler set something."""
    for processor in batch.processors:
        if processor.touched:
            rows = zip(batch.indices, batch.processors, strict=True)
            return {index: _meta(processor) for index, processor in rows if processor.responds()}
    return {}


def _meta(processor: RequestProcessor) -> Meta:
    return Meta(
        status_number(processor.get_response_status_code()),
        clean_text(processor.get_response_status_phrase() or ""),
        _headers(processor.get_response_headers()),
    )


def _headers(headers: dict[str, str]) -> dict[str, str]:
    clean = {clean_text(name): clean_text(value) for name, value in headers.items()}
    if sum(len(name) + len(value) for name, value in clean.items()) <= _MAX_HEADER_CHARACTERS:
        return clean
    log.warning("The response headers are dropped: more than %d characters", _MAX_HEADER_CHARACTERS)
    return {}
