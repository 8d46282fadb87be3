"""The token of a REST request, asked for before its route is looked for."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from stoker.core.ports import Authorizer, TokenScope


def with_token(authorizer: Authorizer, scope: TokenScope) -> Callable[[Request], None]:
    """An `Api.admit`."""

    def admit(request: Request) -> None:
        authorizer.check(scope, authorization(request))

    return admit


def authorization(request: Request) -> str | None:
    """The header as the client sent it; the first one, where it sent several."""
    for name, value in request.scope["headers"]:
        if name.lower() == b"authorization":
            return bytes(value).decode("latin-1")
    return None
