"""A handler that does nothing: a request's time is the server's own."""

from __future__ import annotations

from typing import Any


def handle(data: Any, context: Any) -> list[str] | None:
    """Returns "OK" for each request. Called once with None when the worker starts."""
    return None if data is None else ["OK"] * len(data)
