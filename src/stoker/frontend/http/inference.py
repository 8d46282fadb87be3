"""The inference API: who is healthy, and predictions by every path that TorchServe knows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.core.ports import InferencePort
from stoker.frontend.http.app import Api
from stoker.frontend.http.responses import json_response


def inference_api(inference: InferencePort) -> Api:
    async def ping(request: Request) -> Response:
        healthy = inference.healthy()
        return json_response({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 500)

    return Api(routes=[Route("/ping", ping)])
