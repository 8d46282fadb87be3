"""The whole server in this process, without models: which API is where, as the settings of addresses say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stoker import server as composition
from stoker.client import AsyncClient, Endpoint
from stoker.config.address import Address
from stoker.config.security import AccessPolicy
from stoker.config.settings import Settings
from stoker.errors import BindError
from stoker.frontend.sockets import check_free
from stoker.server import Server
from stoker.telemetry.metrics import Metrics

OPEN = AccessPolicy(tokens=False, model_api=True)
ANYWHERE = Address("http", "127.0.0.1", 0)


@pytest.fixture(autouse=True)
def _leave_the_collector_of_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "_tune_gc", lambda: None)


@asynccontextmanager
async def serving(folder: Path, *, access: AccessPolicy = OPEN, **settings: Any) -> AsyncIterator[Server]:
    for name in ("tmp", "store"):
        (folder / name).mkdir()
    started = asyncio.Event()
    server = Server(
        Settings(
            **{
                "grpc_inference_port": 0,
                "grpc_management_port": 0,
                "inference_address": ANYWHERE,
                "management_address": ANYWHERE,
                "metrics_address": ANYWHERE,
                "model_store": folder / "store",
                "temp_dir": folder / "tmp",
                **settings,
            }
        ),
        access=access,
        metrics=Metrics(mode="prometheus"),
        on_started=started.set,
    )
    running = asyncio.create_task(server.run())
    waiting = asyncio.create_task(started.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert started.is_set(), running
        yield server
    finally:
        waiting.cancel()
        server.request_stop()
        await asyncio.wait_for(running, 30)


async def statuses(client: httpx.AsyncClient, paths: Iterable[str]) -> dict[str, int]:
    return {path: (await client.get(path)).status_code for path in paths}


def over(socket: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=socket), base_url="http://any.name", timeout=60)


INFERENCE, MANAGEMENT, METRICS = ("/ping", "/models", "/metrics")


async def test_every_api_can_be_served_on_a_unix_socket(tmp_path: Path) -> None:
    apis = {"inference_address": INFERENCE, "management_address": MANAGEMENT, "metrics_address": METRICS}
    sockets = {key: tmp_path / key for key in apis}
    async with serving(tmp_path, **{key: Address("unix", path=str(path)) for key, path in sockets.items()}) as server:
        assert {address for api, address in server.addresses.items() if "REST" in api} == {
            f"unix:{path}" for path in sockets.values()
        }
        for key, own in apis.items():
            async with over(str(sockets[key])) as client:
                found = await statuses(client, apis.values())
                assert found == {path: 200 if path == own else 404 for path in apis.values()}
                assert (await client.options("/")).json()["openapi"] == "3.0.1"
    assert not any(path.exists() for path in sockets.values())


async def test_grpc_can_be_served_on_unix_sockets(tmp_path: Path) -> None:
    inference, management = (f"unix:{tmp_path}/{name}.sock" for name in ("inference", "management"))
    endpoint = Endpoint(inference=inference, management=management)
    async with serving(tmp_path, grpc_inference_address=inference, grpc_management_address=management) as server:
        assert (server.addresses["gRPC inference"], server.addresses["gRPC management"]) == (inference, management)
        async with AsyncClient(endpoint) as client:
            assert await client.ping() == "Healthy"
            assert (await client.list_models())["models"] == []
    assert not list(tmp_path.glob("*.sock"))


async def test_one_address_serves_all_apis_and_metrics_have_a_listener_besides(tmp_path: Path) -> None:
    both, own = (Address("unix", path=str(tmp_path / name)) for name in ("both", "own"))
    every = (INFERENCE, MANAGEMENT, METRICS)
    async with serving(tmp_path, inference_address=both, management_address=both, metrics_address=own):
        async with over(both.path) as client:
            assert await statuses(client, (*every, "/live", "/ready")) == dict.fromkeys(
                (*every, "/live", "/ready"), 200
            )
        async with over(own.path) as client:
            assert await statuses(client, every) == {INFERENCE: 404, MANAGEMENT: 404, METRICS: 200}


async def test_metrics_are_said_to_be_where_their_own_listener_is(tmp_path: Path) -> None:
    both = Address("unix", path=str(tmp_path / "both"))
    async with serving(tmp_path, inference_address=both, management_address=both) as server:
        found = server.addresses
        assert found["REST inference"] == found["REST management"] == str(both)
        assert found["REST metrics"].startswith("http://127.0.0.1:")


async def test_the_metrics_listener_can_be_switched_off_and_settings_of_rest_reach_the_others(tmp_path: Path) -> None:
    async with serving(
        tmp_path,
        enable_metrics_api=False,
        ts_open_inference_protocol=True,
        max_request_size=10,
        allowed_hosts=("models.example",),
        cors_allowed_origin="https://ui.example",
        cors_allowed_methods="GET",
        cors_allowed_headers="X-A",
    ) as server:
        assert "REST metrics" not in server.addresses
        async with httpx.AsyncClient(base_url=server.addresses["REST inference"], verify=False, timeout=60) as client:
            assert (await client.get("/v2/health/live")).json() == {"live": True}
            assert (await client.post("/predictions/m", content=b"x" * 11)).status_code == 413
            answer = await client.get("/nowhere")
            assert {
                name: answer.headers[f"access-control-allow-{name}"] for name in ("origin", "methods", "headers")
            } == {
                "origin": "https://ui.example",
                "methods": "GET",
                "headers": "X-A",
            }
        async with httpx.AsyncClient(base_url=server.addresses["REST management"], verify=False, timeout=60) as client:
            for host, status in (("models.example", 200), ("other.example", 403)):
                assert (await client.get("/models", headers={"host": host})).status_code == status


async def test_on_a_shared_address_each_path_asks_for_its_own_token_and_probes_for_none(tmp_path: Path) -> None:
    both = Address("unix", path=str(tmp_path / "both"))
    tokens = {"inference_token": "i" * 40, "management_token": "m" * 40}
    access = AccessPolicy(tokens=True, model_api=False)
    async with serving(tmp_path, access=access, inference_address=both, management_address=both, **tokens) as server:
        async with over(both.path) as client:
            for path, key in ((INFERENCE, "inference_token"), (MANAGEMENT, "management_token")):
                for name, token in tokens.items():
                    answer = await client.get(path, headers={"authorization": f"Bearer {token}"})
                    assert answer.status_code == (200 if name == key else 400), (path, name)
            assert await statuses(client, ("/live", "/ready", "/api-description")) == {
                "/live": 200,
                "/ready": 200,
                "/api-description": 200,
            }
            assert (await client.get(METRICS)).status_code == 400
            manager = {"authorization": f"Bearer {tokens['management_token']}"}
            assert (await client.get(METRICS, headers=manager)).status_code == 200
            refused = await client.post("/models?url=m.mar", headers=manager)
            assert (refused.status_code, refused.json()["type"]) == (405, "MethodNotAllowedException")
            assert (await client.get("/token?type=inference", headers=manager)).status_code == 400
        async with httpx.AsyncClient(base_url=server.addresses["REST metrics"], verify=False, timeout=60) as client:
            assert await statuses(client, (METRICS,)) == {METRICS: 200}


async def test_a_path_that_no_client_could_connect_to_is_refused() -> None:
    longest = "/" + 106 * "x"
    await check_free(Address("unix", path=longest))
    with pytest.raises(BindError, match="more than 107 bytes"):
        await check_free(Address("unix", path=f"{longest}x"))
