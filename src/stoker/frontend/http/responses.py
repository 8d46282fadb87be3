"""Formats answers as TorchServe does: pretty JSON that ends with a newline, and the constant headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from stoker.core.ports import SCALING_BEGUN, SCALING_UNFINISHED
from stoker.frontend.http.status import Answer

JSON_TYPE = "application/json"
UNAUTHORIZED = 401
_STATUS_OF_SENTENCE = {SCALING_BEGUN: 202, SCALING_UNFINISHED: 206}

ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"Pragma", b"no-cache"),
    (b"Cache-Control", b"no-cache; no-store, must-revalidate, private"),
    (b"Expires", b"Thu, 01 Jan 1970 00:00:00 UTC"),
)
"""Headers of every answer, besides ``x-request-id`` and ``connection``. The listener adds them."""


def json_response(value: Any, status: int = 200) -> Response:
    return Response(json_bytes(value), status, media_type=JSON_TYPE)


def status_response(sentence: str) -> Response:
    """Answers with what was done."""
    return json_response({"status": sentence}, _STATUS_OF_SENTENCE.get(sentence, 200))


def error_bytes(answer: Answer) -> bytes:
    return json_bytes(
        {"error": answer.error or None, "code": answer.status, "type": answer.type, "message": answer.message}
    )


def json_bytes(value: Any) -> bytes:
    """Formats JSON: two spaces, no null members, one newline at the end."""
    text = json.dumps(_without_nulls(value), indent=2, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "replace")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value
