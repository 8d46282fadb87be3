"""The open inference protocol over REST: health, metadata, statistics, the repository."""

from __future__ import annotations

import json
from typing import Any

import pytest
from http_fakes import HttpPorts, running
from open_inference_kit import rest_ports

from stoker.core.ports import Readiness
from stoker.frontend.http import openapi_open_inference

LENGTH = "Inference-Header-Content-Length"


REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.5]}]}


@pytest.fixture
def ports() -> HttpPorts:
    return rest_ports()


async def test_health_needs_no_token_and_says_how_it_is(ports: HttpPorts) -> None:
    ports.authorizer.token = "secret"
    async with running(ports) as server:
        assert (await server.client.get("/v2/health/live")).json() == {"live": True}
        assert (await server.client.get("/v2/health/ready")).json() == {"ready": True}
        ports.readiness.state = Readiness(ready=False)
        response = await server.client.get("/v2/health/ready")
        assert (response.status_code, response.json()) == (503, {"ready": False})
        assert (await server.client.get("/v2/models/m")).status_code == 400
        assert (await server.client.post("/v2/models/m/infer", content=json.dumps(REQUEST))).status_code == 400


GETS: dict[str, tuple[int, Any]] = {
    "/v2/models": (200, {"models": ["configured", "m", "plain"]}),
    "/v2/models/m": (
        200,
        {"name": "m", "versions": ["1.0", "2.0"], "platform": "pytorch_torchserve", "inputs": [], "outputs": []},
    ),
    "/v2/models/configured/versions/1.0": (
        200,
        {
            "name": "configured",
            "versions": ["1.0"],
            "platform": "onnx",
            "inputs": [
                {"name": "a", "datatype": "INT32", "shape": [-1, 2]},
                {"name": "b", "datatype": "BYTES", "shape": [-1]},
            ],
            "outputs": [
                {"name": "total", "datatype": "INT64", "shape": [-1]},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
            ],
        },
    ),
    "/v2/models/m/ready": (200, {"name": "m", "ready": True}),
    "/v2/models/m/versions/2.0/ready": (200, {"name": "m", "ready": True}),
    "/v2/models/plain/ready": (503, {"name": "plain", "ready": False}),
}


@pytest.mark.parametrize("path", GETS)
async def test_questions_about_models_are_answered(ports: HttpPorts, path: str) -> None:
    ports.models.not_ready = {"plain"}
    async with running(ports) as server:
        for slash in ("", "/"):
            response = await server.client.get(path + slash)
            assert (response.status_code, response.json()) == GETS[path]


async def test_every_path_that_is_described_is_served(ports: HttpPorts) -> None:
    ports.models.stored = ["spare"]
    async with running(ports) as server:
        for operation in openapi_open_inference.INFERENCE:
            model = "spare" if operation.id == "v2_repository_load" else "m"
            path = operation.path.format(model_name=model, model_version="2.0")
            document = REQUEST if path.endswith("/infer") else {}
            response = await server.client.request(operation.method.upper(), path, content=json.dumps(document))
            assert (response.status_code, "200" in operation.responses) == (200, True), operation.id


@pytest.mark.parametrize("end", ["", "/ready", "/config", "/stats", "/versions/1.0/config"])
async def test_questions_about_an_unknown_model_are_not_found(ports: HttpPorts, end: str) -> None:
    async with running(ports) as server:
        response = await server.client.get(f"/v2/models/nobody{end}")
        assert (response.status_code, response.json()["error"]) == (404, "Model not found: nobody")


async def test_the_server_says_what_it_speaks(ports: HttpPorts) -> None:
    async with running(ports) as server:
        body = (await server.client.get("/v2")).json()
    assert (body["name"], body["version"], body["extenstion"]) == ("Torchserve", "0.12.0", ["kserve", "kubeflow"])
    assert {"binary_tensor_data", "model_repository", "sequence(string_id)"} <= set(body["extensions"])


@pytest.mark.parametrize(
    "path",
    ["/v2/trace/setting", "/v2/models/m/trace/setting", "/v2/logging", "/v2/systemsharedmemory/region/r/register"],
)
async def test_extensions_that_are_not_served_say_so(ports: HttpPorts, path: str) -> None:
    async with running(ports) as server:
        assert (await server.client.get(path)).status_code == 501


async def test_the_repository_loads_lists_and_unloads(ports: HttpPorts) -> None:
    ports.models.stored = ["spare"]
    async with running(ports) as server:
        entries = (await server.client.post("/v2/repository/index")).json()
        assert {"name": "spare", "state": "UNAVAILABLE", "reason": "not loaded"} in entries
        ready = (await server.client.post("/v2/repository/index", json={"ready": True})).json()
        assert {entry["state"] for entry in ready} == {"READY"}
        assert (await server.client.post("/v2/repository/models/spare/load", json={})).status_code == 200
        assert (await server.client.post("/v2/repository/models/m/unload")).status_code == 200
        refused = await server.client.post("/v2/repository/models/spare/load", json={"parameters": {"config": "{}"}})
        assert (refused.status_code, "parameters" in refused.json()["error"]) == (400, True)
        for wrong in (b"[", b"[]", b'{"ready": "yes"}'):
            assert (await server.client.post("/v2/repository/index", content=wrong)).status_code == 400
    assert [asked[0] for asked in ports.management.asked] == ["register", "unregister", "unregister"]


async def test_the_repository_is_closed_where_it_is_not_served_or_the_model_api_is_off(ports: HttpPorts) -> None:
    for option in ("repository_served", "model_api_enabled"):
        setattr(ports, option, False)
        async with running(ports) as server:
            response = await server.client.post("/v2/repository/models/m/unload")
            assert response.status_code == 403
        setattr(ports, option, True)
    assert not ports.management.asked
