"""Serves a listener's OpenAPI document, by OPTIONS and at /api-description, to everyone."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.errors import MethodNotAllowed
from stoker.frontend.http import openapi
from stoker.frontend.http.app import ANY_METHOD, Api, with_and_without_slash
from stoker.frontend.http.responses import json_bytes


def description_api(operations: Sequence[openapi.Operation], *, version: str) -> Api:
    """Returns the API. ``version``: the server's version for clients."""
    document = json_bytes(openapi.document("TorchServe APIs", version, operations))

    async def describe(request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def refuse(request: Request) -> Response:
        raise MethodNotAllowed

    root = [Route("/", describe, methods=["OPTIONS"]), Route("/", refuse, methods=ANY_METHOD)]
    return Api(routes=(), open_routes=[*root, *with_and_without_slash("/api-description", describe, ANY_METHOD)])
