"""A listener with the inference and the management API over HTTP, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from http_fakes import FakeAuthorizer, HttpPorts, client_of
from workflow_fakes import WorkflowRig

from stoker.frontend.http.app import Api, App
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.management import management_api
from stoker.frontend.http.workflows import workflow_routes

NO_WORKFLOW = "WorkflowNotFoundException"


@asynccontextmanager
async def serving(
    rig: WorkflowRig, *, enabled: bool = True, token: str | None = None, **ports: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """One listener with both APIs, over ``rig``."""
    authorizer = FakeAuthorizer(token)
    api = management_api(rig.registry, authorizer=authorizer, guard=BrowserGuard(), model_api_enabled=enabled)
    routes = [*api.routes, *workflow_routes(rig.workflows, enabled=enabled)]
    app = App([Api(routes=routes, admit=api.admit)])
    made = HttpPorts(inference=rig.registry, authorizer=authorizer, **ports)  # type: ignore[arg-type]
    async with made.listener(app=app) as listener, client_of(f"http://127.0.0.1:{listener.port}") as client:
        yield client


def is_error(answer: httpx.Response, status: int, kind: str, message: str) -> None:
    assert answer.json() == {"code": status, "type": kind, "message": message}
    assert answer.status_code == status
