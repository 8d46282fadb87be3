"""The metrics API: one path, Prometheus text.

The metrics listener needs no token.  If inference and management share a listener, it has the path too, behind the
management token.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.core.ports import MetricsPort
from stoker.frontend.http import parameters
from stoker.frontend.http.app import ANY_METHOD, Api, with_and_without_slash
from stoker.frontend.http.openapi_operations import METRICS_TYPE


def metrics_api(metrics: MetricsPort) -> Api:
    return Api(routes=(), open_routes=metrics_routes(metrics))


def metrics_routes(metrics: MetricsPort) -> Sequence[Route]:
    async def exposition(request: Request) -> Response:
        names = parameters.all_of(request.url.query, "name[]")
        return Response(metrics.exposition(names), media_type=METRICS_TYPE)

    return with_and_without_slash("/metrics", exposition, ANY_METHOD)
