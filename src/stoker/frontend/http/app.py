"""Combines the APIs of a listener's roles into one ASGI application, as TorchServe routes paths and methods.

An `Api` has the routes of one role (inference, management, metrics) and decides who may use them.  A listener with
several roles tries its APIs in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stoker.core.ports import Authorizer, TokenScope
from stoker.errors import MethodNotAllowed, ResourceNotFound

Endpoint = Callable[[Request], Awaitable[Response]]
ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def admit_everyone(request: Request) -> None:
    """Admits every request; the default of `Api.admit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """``admit`` raises an error if the request is refused (its token, its origin), before any of ``routes`` is chosen.
    ``open_routes`` are served without that check."""

    routes: Sequence[BaseRoute]
    open_routes: Sequence[BaseRoute] = ()
    admit: Callable[[Request], None] = admit_everyone


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


def with_and_without_slash(path: str, endpoint: Endpoint, methods: Sequence[str]) -> list[Route]:
    """Makes two equivalent routes: one with a slash at the end, one without."""
    return [Route(path, endpoint, methods=methods), Route(f"{path}/", endpoint, methods=methods)]


def with_token(authorizer: Authorizer, scope: TokenScope) -> Callable[[Request], None]:
    """Makes an `Api.admit` that checks the token."""

    def admit(request: Request) -> None:
        authorizer.check(scope, authorization(request))

    return admit


def authorization(request: Request) -> str | None:
    """Returns the Authorization header as sent; the first one if there are several."""
    for name, value in request.scope["headers"]:
        if name.lower() == b"authorization":
            return bytes(value).decode("latin-1")
    return None
