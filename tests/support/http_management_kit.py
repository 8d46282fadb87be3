"""A listener with the management, metrics and description APIs, and what is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from grpc_fakes import FakeManagement
from http_fakes import FakeTelemetry, HttpPorts, client_of

from stoker import errors as e
from stoker.core.ports import TokenScope
from stoker.frontend.http.app import Api, App
from stoker.frontend.http.description import description_api
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.management import management_api
from stoker.frontend.http.metrics import metrics_api
from stoker.frontend.http.openapi_operations import listener_operations

KEY, API_KEY = "Bearer management-key", "Bearer api-key"


@dataclass
class FakeTokens:
    """``on``: the management API needs ``KEY``; `/token` the API key."""

    on: bool = False
    rotated: list[str] = field(default_factory=list)

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        if self.on and authorization != KEY:
            raise e.TokenRejected

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        if not self.on:
            raise e.ResourceNotFound
        if authorization != API_KEY or kind not in ("management", "inference"):
            raise e.TokenRejected("Token Authentication failed.")
        self.rotated.append(kind)


class FakeMetrics:
    def exposition(self, names: Any = ()) -> bytes:
        return f"asked {','.join(names)}\n".encode()


@dataclass
class World:
    management: FakeManagement = field(default_factory=FakeManagement)
    tokens: FakeTokens = field(default_factory=FakeTokens)
    guard: BrowserGuard | None = field(default_factory=BrowserGuard)
    model_api: bool = True
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    more: tuple[Api, ...] = ()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        apis = [
            description_api(listener_operations(inference=False, management=True, metrics=True), version="0.12.0"),
            management_api(self.management, authorizer=self.tokens, guard=self.guard, model_api_enabled=self.model_api),
            metrics_api(FakeMetrics()),
        ]
        ports = HttpPorts(telemetry=self.telemetry, headers=self.headers)
        async with (
            ports.listener(app=App([*apis, *self.more])) as listener,
            client_of(f"http://127.0.0.1:{listener.port}") as client,
        ):
            yield client
