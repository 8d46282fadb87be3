"""The management API: lists, registers, describes, scales and unregisters models, and sets default versions.

Invariant: an operation continues when its client leaves; only the answer is lost.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.core.ports import (
    Authorizer,
    ManagementPort,
    RegisterRequest,
    ScaleRequest,
    TokenScope,
)
from stoker.core.reply import ResponseMeta
from stoker.errors import ArchiveNotFound, BadRequest, MethodNotAllowed
from stoker.frontend.http import disconnects, openapi_operations, parameters
from stoker.frontend.http.app import ANY_METHOD, Api, Endpoint, authorization, with_and_without_slash
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.heads import handler_headers, sendable_status
from stoker.frontend.http.parameters import Parameters
from stoker.frontend.http.responses import json_response, status_response

MOST_LISTED = 100
_DELAY_NOT_GIVEN = -100


def management_api(
    management: ManagementPort, *, authorizer: Authorizer, guard: BrowserGuard | None, model_api_enabled: bool = False
) -> Api:
    """``model_api_enabled``: whether models may be registered and unregistered. ``guard``: None where no browser can
    reach the listener. /token is an open route because it needs a key of its own, which it checks itself."""
    routes = _Routes(management, authorizer, guard, model_api_enabled=model_api_enabled)
    return Api(
        routes=routes.table(),
        open_routes=with_and_without_slash("/token", routes.rotate_token, ANY_METHOD),
        admit=routes.admit,
    )


class _Routes:
    def __init__(
        self, management: ManagementPort, authorizer: Authorizer, guard: BrowserGuard | None, *, model_api_enabled: bool
    ) -> None:
        self._management = management
        self._authorizer = authorizer
        self._guard = guard
        self._model_api_enabled = model_api_enabled

    def table(self) -> list[Route]:
        one, version = "/models/{model}", "/models/{model}/{version}"
        rows: list[tuple[str, str, Endpoint]] = [
            ("GET", "/models", self.list_models),
            ("POST", "/models", self.register),
            ("GET", one, self.describe),
            ("GET", version, self.describe),
            ("PUT", one, self.scale),
            ("PUT", version, self.scale),
            ("DELETE", one, self.unregister),
            ("DELETE", version, self.unregister),
            ("OPTIONS", one, self.describe_operations),
            ("OPTIONS", version, self.describe_operations),
            ("PUT", f"{version}/set-default", self.set_default),
            ("GET", "/v1/models/{model}", self.ready),
        ]
        return [route for method, path, endpoint in rows for route in with_and_without_slash(path, endpoint, [method])]

    def admit(self, request: Request) -> None:
        self._check_browser(request)
        self._authorizer.check(TokenScope.MANAGEMENT, authorization(request))

    async def rotate_token(self, request: Request) -> Response:
        self._check_browser(request)
        kind = parameters.from_query(request.url.query).text("type")
        await asyncio.to_thread(self._authorizer.rotate, kind, authorization(request))
        return Response(b"\n", media_type="application/json")

    def _check_browser(self, request: Request) -> None:
        if self._guard is None:
            return
        headers = request.headers
        self._guard.check(
            host=headers.get("host"),
            origin=headers.get("origin"),
            fetch_site=headers.get("sec-fetch-site"),
            agent=headers.get("user-agent"),
        )

    async def list_models(self, request: Request) -> Response:
        asked = parameters.from_query(request.url.query)
        limit, offset = asked.whole("limit", MOST_LISTED), asked.whole("next_page_token", 0)
        return json_response(self._management.list_models(limit, offset))

    async def describe(self, request: Request) -> Response:
        model, version = _model_of(request)
        if parameters.from_query(request.url.query).flag("customized", False) and version != "all":
            return await self._describe_customized(request, model, version)
        return json_response(self._management.describe(model, version))

    async def _describe_customized(self, request: Request, model: str, version: str | None) -> Response:
        asked = self._management.describe_customized(model, version, headers=_headers_for_handler(request))
        entries, meta = await disconnects.cancel_on_disconnect(request, asked)
        response = json_response(entries)
        if meta is not None:
            _apply_handler_meta(response, meta)
        return response

    async def ready(self, request: Request) -> Response:
        model, _ = _model_of(request)
        (entry,) = self._management.describe(model, None)
        return json_response({"name": model, "ready": any(one["status"] == "READY" for one in entry["workers"])})

    async def describe_operations(self, request: Request) -> Response:
        model, version = _model_of(request)
        self._management.describe(model, version)  # an unknown model is an error
        return json_response(openapi_operations.management_of_model(model))

    async def register(self, request: Request) -> Response:
        self._require_model_api()
        body = await disconnects.whole_body(request)
        asked = parameters.from_request(request.url.query, request.headers.get("content-type"), body)
        return status_response(await self._management.register(register_request(asked)))

    async def scale(self, request: Request) -> Response:
        model, version = _model_of(request)
        asked = parameters.from_query(request.url.query)
        return status_response(await self._management.scale(scale_request(model, version, asked)))

    async def set_default(self, request: Request) -> Response:
        model, version = _model_of(request)
        return status_response(await self._management.set_default(model, version or ""))

    async def unregister(self, request: Request) -> Response:
        self._require_model_api()
        model, version = _model_of(request)
        return status_response(await self._management.unregister(model, version))

    def _require_model_api(self) -> None:
        if not self._model_api_enabled:
            raise MethodNotAllowed  # TorchServe gives the reason only over gRPC


def _model_of(request: Request) -> tuple[str, str | None]:
    return request.path_params["model"], request.path_params.get("version")


def _headers_for_handler(request: Request) -> dict[str, str]:
    """Returns the request's headers without the token: a model's code must not see credentials for management."""
    given = {name.title(): value for name, value in request.headers.items()}
    given.pop("Authorization", None)
    return given


def _apply_handler_meta(response: Response, meta: ResponseMeta) -> None:
    response.status_code = sendable_status(meta.status)
    for name, value in handler_headers(meta.headers):
        response.headers[name.decode()] = value.decode("latin-1")


def register_request(asked: Parameters) -> RegisterRequest:
    """Parses a registration. Raises BadRequest, ArchiveNotFound."""
    if not asked.given("url"):
        raise BadRequest("Parameter url is required.")
    url = asked.text("url")
    if url is None:
        raise ArchiveNotFound("empty url")
    batch_size = asked.whole_unless(-1, "batch_size")
    delay_ms = asked.whole_unless(_DELAY_NOT_GIVEN, "max_batch_delay")
    return RegisterRequest(
        url=url,
        model_name=asked.text("model_name"),
        handler=asked.text("handler"),
        runtime=asked.text("runtime"),
        batch_size=1 if batch_size == 0 else batch_size,
        max_batch_delay_s=None if delay_ms is None else delay_ms / 1000,
        initial_workers=asked.whole("initial_workers"),
        response_timeout_s=asked.whole_unless(-1, "response_timeout"),
        startup_timeout_s=asked.whole_unless(-1, "startup_timeout"),
        synchronous=asked.flag("synchronous", True),
        s3_sse_kms=asked.flag("s3_sse_kms", False),
    )


def scale_request(model: str, version: str | None, asked: Parameters) -> ScaleRequest:
    return ScaleRequest(
        model=model,
        version=version or asked.text("model_version"),
        min_workers=asked.whole("min_worker", 1),
        max_workers=asked.whole("max_worker"),
        synchronous=asked.flag("synchronous", False),
    )
