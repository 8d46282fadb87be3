"""Checks the token of a REST request before its route is looked up."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from stoker.core.ports import Authorizer, TokenScope


def with_token(authorizer: Authorizer, scope: TokenScope) -> Callable[[Request], None]:
    """Makes an `Api.admit` that checks the token."""

    def admit(request: Request) -> None:
        authorizer.check(scope, authorization(request))

    return admit


def authorization(request: Request) -> str | None:
    """Returns the header as sent; the first one if there are several."""
    for name, value in request.scope["headers"]:
        if name.lower() == b"authorization":
            return bytes(value).decode("latin-1")
    return None
