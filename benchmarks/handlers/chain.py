"""Two functions of a workflow, the second on the output of the first.  Each can also be called as a model."""

from __future__ import annotations

import hashlib
from typing import Any


def digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def first(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    return None if data is None else [digest(_content(row)) for row in data]


def second(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    return None if data is None else [digest(_content(row)) for row in data]


def _content(row: dict[str, Any]) -> bytes:
    """``body``: the output of the node before. ``data``: what a client sent."""
    content = row.get("body", row.get("data"))
    return content.encode() if isinstance(content, str) else bytes(content or b"")
