"""Combines the APIs of a listener's roles into one ASGI application.

An `Api` is the routes of one role (inference, management, metrics) and who may use them.  A listener with several roles
tries them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from stoker.errors import MethodNotAllowed, ResourceNotFound


def everyone(request: Request) -> None:
    """Admits every request; the default of `Api.admit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """``admit`` raises what a request is refused with, before a route of ``routes`` is even looked for (the token, the
    origin); ``open_routes`` are served without it."""

    routes: Sequence[BaseRoute]
    open_routes: Sequence[BaseRoute] = ()
    admit: Callable[[Request], None] = everyone


class App:
    """An ASGI application. It raises errors for the caller to answer."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._apis = apis

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        partial = False
        for api in self._apis:
            for route in api.open_routes:
                if route.matches(scope)[0] is Match.FULL:
                    return await _handle(route, scope, receive, send)
        refusal: Exception | None = None
        for api in self._apis:
            try:
                api.admit(request)
            except Exception as error:
                refusal = refusal or error
                if any(route.matches(scope)[0] is Match.FULL for route in api.routes):
                    raise
                continue
            for route in api.routes:
                match, _ = route.matches(scope)
                if match is Match.FULL:
                    return await _handle(route, scope, receive, send)
                partial = partial or match is Match.PARTIAL
        if partial:  # in an API that admitted the request
            raise MethodNotAllowed
        raise refusal or ResourceNotFound


async def _handle(route: BaseRoute, scope: Scope, receive: Receive, send: Send) -> None:
    _, found = route.matches(scope)
    scope.update(found)
    app: ASGIApp = getattr(route, "app", route)
    await app(scope, receive, send)
