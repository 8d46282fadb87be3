"""The management API's part for workflows: registers, lists, describes and unregisters them.

Predictions of workflows are those of models, on another path (`paths`).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.core.workflows import RegisterWorkflowRequest, WorkflowManagementPort
from stoker.errors import BadRequest, MethodNotAllowed
from stoker.frontend.http import disconnects, parameters
from stoker.frontend.http.app import Endpoint, with_and_without_slash
from stoker.frontend.http.management import MOST_LISTED
from stoker.frontend.http.parameters import Parameters
from stoker.frontend.http.responses import json_response, status_response


def workflow_routes(workflows: WorkflowManagementPort, *, enabled: bool) -> Sequence[Route]:
    """Returns the routes. ``enabled``: whether workflows may be registered and unregistered."""

    def require_enabled() -> None:
        if not enabled:
            raise MethodNotAllowed

    async def list_workflows(request: Request) -> Response:
        asked = parameters.from_query(request.url.query)
        limit, offset = asked.whole("limit", MOST_LISTED), asked.whole("next_page_token", 0)
        return json_response(workflows.list_workflows(limit, offset))

    async def describe(request: Request) -> Response:
        return json_response(workflows.describe_workflow(request.path_params["workflow"]))

    async def register(request: Request) -> Response:
        require_enabled()
        body = await disconnects.whole_body(request)
        asked = parameters.from_request(request.url.query, request.headers.get("content-type"), body)
        return status_response(await workflows.register_workflow(register_request(asked)))

    async def unregister(request: Request) -> Response:
        require_enabled()
        return status_response(await workflows.unregister_workflow(request.path_params["workflow"]))

    one = "/workflows/{workflow}"
    rows: list[tuple[str, str, Endpoint]] = [
        ("GET", "/workflows", list_workflows),
        ("POST", "/workflows", register),
        ("GET", one, describe),
        ("GET", f"{one}/{{ignored}}", describe),
        ("DELETE", one, unregister),
        ("DELETE", f"{one}/{{ignored}}", unregister),
    ]
    return [route for method, path, endpoint in rows for route in with_and_without_slash(path, endpoint, [method])]


def register_request(asked: Parameters) -> RegisterWorkflowRequest:
    """Parses a registration. An empty url is passed on, and the store refuses it. Raises BadRequest."""
    if not asked.given("url"):
        raise BadRequest("Parameter url is required.")
    return RegisterWorkflowRequest(
        url=asked.text("url") or "",
        workflow_name=asked.text("workflow_name"),
        response_timeout_s=asked.whole_unless(-1, "response_timeout"),
        startup_timeout_s=asked.whole_unless(-1, "startup_timeout"),
        s3_sse_kms=asked.flag("s3_sse_kms", False),
        synchronous=asked.flag("synchronous", True),
    )
