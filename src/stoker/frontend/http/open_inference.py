"""The REST paths of the open inference protocol besides infer: health, metadata, statistics, the repository."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stoker.core.ports import ReadinessPort, TensorPort
from stoker.errors import BadRequest, NotSupported
from stoker.frontend.http import disconnects, json_limits
from stoker.frontend.http.app import ANY_METHOD, Endpoint, with_and_without_slash
from stoker.frontend.http.openapi import Operation
from stoker.frontend.http.openapi_open_inference import HEALTH, ROUTES
from stoker.frontend.http.responses import json_response
from stoker.frontend.open_inference import described
from stoker.frontend.open_inference.repository import Repository

_BY_ANY_METHOD = frozenset({"v2_live", "v2_ready", "v2_server"})
_NOT_SUPPORTED = ("systemsharedmemory", "cudasharedmemory", "trace", "logging")


def health_routes(readiness: ReadinessPort) -> Sequence[BaseRoute]:
    """Returns routes that need no token."""

    async def live(request: Request) -> Response:
        return json_response({"live": True})

    async def ready(request: Request) -> Response:
        state = readiness.readiness().ready
        return json_response({"ready": state}, 200 if state else 503)

    return _routes_of(HEALTH, {"v2_live": live, "v2_ready": ready})


def open_inference_routes(models: TensorPort, repository: Repository) -> Sequence[BaseRoute]:
    routes = _Routes(models, repository)
    endpoints: dict[str, Endpoint] = {
        "v2_server": routes.server,
        "v2_models": routes.names,
        "v2_all_stats": routes.statistics,
        "v2_repository_index": routes.index,
        "v2_repository_load": routes.load,
        "v2_repository_unload": routes.unload,
    }
    for prefix in ("v2_", "v2_version_"):
        endpoints |= {
            f"{prefix}metadata": routes.metadata,
            f"{prefix}model_ready": routes.ready,
            f"{prefix}config": routes.config,
            f"{prefix}stats": routes.statistics,
        }
    found = _routes_of(ROUTES, endpoints)
    for word in _NOT_SUPPORTED:
        found.append(Route(f"/v2/{word}", routes.refuse, methods=ANY_METHOD))
        found.append(Route(f"/v2/{word}/{{rest:path}}", routes.refuse, methods=ANY_METHOD))
    found.append(Route("/v2/models/{rest:path}/trace/setting", routes.refuse, methods=ANY_METHOD))
    return found


def _routes_of(operations: Sequence[Operation], endpoints: Mapping[str, Endpoint]) -> list[BaseRoute]:
    """Makes the routes of operations. ``endpoints``: by the operation's id."""
    methods = {"get": ("GET", "HEAD"), "post": ("POST",)}
    found: list[BaseRoute] = []
    for operation in operations:
        taken = ANY_METHOD if operation.id in _BY_ANY_METHOD else methods[operation.method]
        found += with_and_without_slash(operation.path, endpoints[operation.id], taken)
    return found


class _Routes:
    def __init__(self, models: TensorPort, repository: Repository) -> None:
        self._models = models
        self._repository = repository

    async def server(self, request: Request) -> Response:
        return json_response(
            {
                "name": described.SERVER,
                "version": described.VERSION,
                "extenstion": ["kserve", "kubeflow"],  # TorchServe's spelling
                "extensions": described.EXTENSIONS,
            }
        )

    async def names(self, request: Request) -> Response:
        return json_response({"models": sorted({key.name for key, _ in self._models.counters("", None)})})

    async def metadata(self, request: Request) -> Response:
        return json_response(described.metadata(self._models, *_model_of(request)))

    async def ready(self, request: Request) -> Response:
        model, version = _model_of(request)
        ready = self._models.version_ready(model, version)
        return json_response({"name": model, "ready": ready}, 200 if ready else 503)

    async def config(self, request: Request) -> Response:
        return json_response(described.config(self._models.model_spec(*_model_of(request))))

    async def statistics(self, request: Request) -> Response:
        model, version = request.path_params.get("model_name", ""), request.path_params.get("model_version")
        offset = time.time() - time.monotonic()
        return json_response(described.statistics(self._models, model, version, clock_offset_s=offset))

    async def index(self, request: Request) -> Response:
        asked = _object(await disconnects.whole_body(request))
        only_ready = asked.get("ready", False)
        if not isinstance(only_ready, bool):
            raise BadRequest("'ready' is not a boolean.")
        entries = await self._repository.index(only_ready=only_ready)
        return json_response([_shown(*entry) for entry in entries])

    async def load(self, request: Request) -> Response:
        asked = _object(await disconnects.whole_body(request)).get("parameters") or ()
        await self._repository.load(request.path_params["model_name"], _names(asked))
        return Response(b"")

    async def unload(self, request: Request) -> Response:
        await disconnects.whole_body(request)
        await self._repository.unload(request.path_params["model_name"])
        return Response(b"")

    async def refuse(self, request: Request) -> Response:
        raise NotSupported(what="this extension of the open inference protocol")


def _model_of(request: Request) -> tuple[str, str | None]:
    return request.path_params["model_name"], request.path_params.get("model_version")


def _shown(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    entry = {"name": name, "version": version, "state": state, "reason": reason}
    return {key: value for key, value in entry.items() if value}


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        found = json_limits.parse(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("The body is not a JSON object.")
    return found


def _names(parameters: Any) -> Collection[str]:
    return list(parameters) if isinstance(parameters, dict) else ["?"] if parameters else []
