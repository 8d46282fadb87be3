"""Defines routes with TorchServe's habits for paths and methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]

ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def both(path: str, endpoint: Endpoint, methods: Sequence[str]) -> list[Route]:
    """Makes routes with and without a slash at the end, which mean the same."""
    return [Route(path, endpoint, methods=methods), Route(f"{path}/", endpoint, methods=methods)]
