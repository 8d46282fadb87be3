"""Metrics as text, and listeners that describe themselves."""

from __future__ import annotations

import httpx
import pytest
from http_management_kit import World


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_metrics_are_prometheus_text_by_any_method(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/metrics?name[]=a&name[]=b&name=c")
    assert (answer.status_code, answer.text) == (200, "asked a,b\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "target"), [("OPTIONS", "/"), ("GET", "/api-description"), ("POST", "/api-description/")]
)
async def test_a_listener_describes_itself(client: httpx.AsyncClient, method: str, target: str) -> None:
    document = (await client.request(method, target)).json()
    assert document["openapi"] == "3.0.1"
    assert (document["info"]["title"], document["info"]["version"]) == ("TorchServe APIs", "0.12.0")
    ids = {
        (path, verb): operation["operationId"]
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    }
    one, version = "/models/{model_name}", "/models/{model_name}/{model_version}"
    assert ids == {
        ("/", "options"): "apiDescription",
        ("/models", "get"): "listModels",
        ("/models", "post"): "registerModel",
        (one, "get"): "describeModel",
        (one, "put"): "setAutoScale",
        (one, "delete"): "unregisterModel",
        (version, "get"): "version_describeModel",
        (version, "put"): "version_setAutoScale",
        (version, "delete"): "version_unregisterModel",
        (f"{version}/set-default", "put"): "setDefault",
        ("/workflows", "get"): "listWorkflows",
        ("/workflows", "post"): "registerWorkflow",
        ("/workflows/{workflow_name}", "get"): "describeWorkflow",
        ("/workflows/{workflow_name}", "delete"): "unregisterWorkflow",
        ("/api-description", "get"): "api-description",
        ("/metrics", "get"): "metrics",
    }


async def test_every_operation_of_the_description_is_served(world: World, client: httpx.AsyncClient) -> None:
    for path, operations in (await client.options("/")).json()["paths"].items():
        if path.startswith("/workflows"):
            continue  # served by routes of their own, see http_workflows
        for verb in operations:
            target = path.format(model_name="m", model_version="1.0") + "?url=u"
            assert (await client.request(verb.upper(), target)).status_code == 200, (verb, path)


@pytest.mark.parametrize("target", ["/models/m", "/models/m/1.0"])
async def test_options_on_a_model_describes_its_management(client: httpx.AsyncClient, target: str) -> None:
    document = (await client.options(target)).json()
    assert document["info"]["title"] == "RESTful Management API for: m"
    assert document["info"]["version"] == "0.12.0"
    one, version = "/models/{model_name}", "/models/{model_name}/{model_version}"
    assert {path: list(methods) for path, methods in document["paths"].items()} == {
        one: ["get", "put", "delete"],
        version: ["get", "put", "delete"],
        f"{version}/set-default": ["put"],
    }
