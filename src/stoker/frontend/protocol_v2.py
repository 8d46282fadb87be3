"""Makes the open inference protocol's (v2) methods and routes for each role's listeners; none if it is switched off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from stoker.config.settings import Settings
from stoker.core.ports import InferencePort, ManagementPort, ReadinessPort, TensorPort
from stoker.frontend.budget import RequestBudget
from stoker.frontend.grpc.call import Method
from stoker.frontend.grpc.open_inference import health_methods, open_inference_methods
from stoker.frontend.http.app import Api
from stoker.frontend.http.infer import RestInference
from stoker.frontend.http.listeners import Role
from stoker.frontend.http.open_inference import health_routes, open_inference_routes
from stoker.frontend.open_inference.repository import Repository
from stoker.frontend.open_inference.service import OpenInference


class Models(InferencePort, TensorPort, ManagementPort, ReadinessPort, Protocol):
    """The ports that the protocol uses, all of the registry."""


class ProtocolV2:
    """Makes what a server with these settings offers of the protocol."""

    def __init__(self, models: Models, settings: Settings, *, model_api_enabled: bool) -> None:
        self._models = models
        self._settings = settings
        self._model_api_enabled = model_api_enabled
        self._served = settings.ts_open_inference_protocol
        self._inference = OpenInference(models, models, max_response_bytes=settings.max_response_size)

    def open_methods(self) -> Sequence[Method]:
        """Returns the methods that need no token."""
        return health_methods(self._models) if self._served else ()

    def methods(self, role: Role, budget: RequestBudget) -> Sequence[Method]:
        if not self._served:
            return ()
        codes, repository = self._settings.grpc_status_codes, self._repository(role)
        return open_inference_methods(self._inference, self._models, repository, budget=budget, status_codes=codes)

    def rest_inference(self, budget: RequestBudget) -> RestInference | None:
        if not self._served:
            return None
        limit = self._settings.max_request_size
        return RestInference(self._inference, self._models, max_request_size=limit, budget=budget)

    def with_routes(self, api: Api, role: Role) -> Api:
        if not self._served:
            return api
        routes, open_routes = open_inference_routes(self._models, self._repository(role)), health_routes(self._models)
        return replace(api, routes=[*routes, *api.routes], open_routes=[*open_routes, *api.open_routes])

    def _repository(self, role: Role) -> Repository:
        return Repository(
            self._models,
            self._models,
            workers=self._settings.default_workers_per_model,
            model_api_enabled=self._model_api_enabled,
            served=role is Role.MANAGEMENT or self._settings.oip_repository_on_inference_port,
        )
