"""Serves the inference API besides predictions (`predictions`): health, readiness, and OPTIONS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from stoker.core.ports import Authorizer, InferencePort, ReadinessPort, TokenScope
from stoker.frontend.http.app import ANY_METHOD, Api, with_and_without_slash, with_token
from stoker.frontend.http.paths import target_of
from stoker.frontend.http.responses import json_response

Describe = Callable[[str], Any]
"""Returns the OpenAPI document of a model's predictions; raises ModelNotFound."""


def probe_routes(readiness: ReadinessPort) -> Sequence[BaseRoute]:
    """Returns /live and /ready for orchestrators, without a token, on the inference and the management listener."""

    async def live(request: Request) -> Response:
        return json_response({"live": True})

    async def ready(request: Request) -> Response:
        state = readiness.readiness()
        document: dict[str, Any] = {"ready": state.ready}
        if state.reason:
            document["reason"] = state.reason
        if state.models:
            document["modelsNotReady"] = list(state.models)
        return json_response(document, 200 if state.ready else 503)

    return [*with_and_without_slash("/live", live, ANY_METHOD), *with_and_without_slash("/ready", ready, ANY_METHOD)]


def inference_api(
    inference: InferencePort,
    *,
    authorizer: Authorizer,
    readiness: ReadinessPort,
    describe: Describe | None = None,
) -> Api:
    """Returns the API. ``describe``: the answer to OPTIONS on a prediction path."""

    async def ping(request: Request) -> Response:
        healthy = inference.healthy()
        return json_response({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 500)

    return Api(
        routes=[
            *with_and_without_slash("/ping", ping, ANY_METHOD),
            *([_PredictionOptions(describe)] if describe else []),
        ],
        open_routes=probe_routes(readiness),
        admit=with_token(authorizer, TokenScope.INFERENCE),
    )


class _PredictionOptions(BaseRoute):
    """Answers OPTIONS on any prediction path with the OpenAPI document of the model's predictions."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        wanted = scope["method"] == "OPTIONS" and target_of(scope["raw_path"]) is not None
        return (Match.FULL if wanted else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = target_of(scope["raw_path"])
        assert target is not None, "it matched"
        await json_response(self._describe(target.model))(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.handle(scope, receive, send)
