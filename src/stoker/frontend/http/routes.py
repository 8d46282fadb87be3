"""How routes are written down: TorchServe's habits with paths and methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]

ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def both(path: str, endpoint: Endpoint, methods: Sequence[str]) -> list[Route]:
    """A slash at the end of a path means nothing."""
    return [Route(path, endpoint, methods=methods), Route(f"{path}/", endpoint, methods=methods)]
