"""Wraps methods so that they check a token first.

The check is part of the method, so that it is the same on both engines.  Health and reflection need no token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stoker.core.ports import Authorizer, TokenScope
from stoker.frontend.auth import OpenAuthorizer
from stoker.frontend.grpc.call import Call, Metadata, Method


def guarded(methods: Sequence[Method], authorizer: Authorizer, scope: TokenScope) -> Sequence[Method]:
    if isinstance(authorizer, OpenAuthorizer):
        return methods
    return [replace(method, handle=_guard(method.handle, authorizer, scope)) for method in methods]


def _guard(handle: Callable[[Call], None], authorizer: Authorizer, scope: TokenScope) -> Callable[[Call], None]:
    check = authorizer.check

    def guard(call: Call) -> None:
        check(scope, _authorization(call.metadata))
        handle(call)

    return guard


def _authorization(metadata: Metadata) -> str | None:
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            return value
    return None
