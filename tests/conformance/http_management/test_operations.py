"""What requests of the management API ask the port for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from http_management_kit import KEY, World

from stoker.core.ports import RegisterRequest, ScaleRequest
from stoker.core.reply import ResponseMeta


async def test_what_a_registration_leaves_out_is_not_given_and_it_waits_for_workers(
    world: World, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/models?url=m.mar")
    assert answer.status_code == 200 and answer.text == '{\n  "status": "done"\n}\n'
    assert answer.headers["content-type"] == "application/json"
    assert world.management.asked == [("register", RegisterRequest(url="m.mar", synchronous=True))]


FULL = {
    "url": "u",
    "model_name": "m",
    "handler": "h",
    "runtime": "python3",
    "batch_size": 4,
    "max_batch_delay": 50,
    "initial_workers": 2,
    "response_timeout": 7,
    "startup_timeout": 0,
    "synchronous": False,
    "s3_sse_kms": True,
}


@pytest.mark.parametrize("way", ["params", "json"])
async def test_a_registration_says_the_same_in_query_and_body(
    world: World, client: httpx.AsyncClient, way: str
) -> None:
    await client.request("POST", "/models/", **{way: FULL})
    expected = RegisterRequest(
        url="u",
        model_name="m",
        handler="h",
        runtime="python3",
        batch_size=4,
        max_batch_delay_s=0.05,
        initial_workers=2,
        response_timeout_s=7,
        startup_timeout_s=0,
        synchronous=False,
        s3_sse_kms=True,
    )
    assert world.management.asked == [("register", expected)]


async def test_torchserves_numbers_for_not_given_are_not_given(world: World, client: httpx.AsyncClient) -> None:
    await client.post("/models?url=u&batch_size=-1&max_batch_delay=-100&response_timeout=-1&startup_timeout=-1")
    await client.post("/models?url=u&batch_size=0&initial_workers=many")
    assert world.management.asked == [
        ("register", RegisterRequest(url="u", synchronous=True)),
        ("register", RegisterRequest(url="u", synchronous=True, batch_size=1)),
    ]


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/models/m", ScaleRequest(model="m")),
        ("/models/m/?min_worker=0", ScaleRequest(model="m", min_workers=0)),
        ("/models/m/2.0?min_worker=2&max_worker=3&synchronous=TRUE", ScaleRequest(
            model="m", version="2.0", min_workers=2, max_workers=3, synchronous=True
        )),
        ("/models/m?model_version=2.0&number_gpu=1&timeout=9", ScaleRequest(model="m", version="2.0")),
        ("/models/m/1.0?model_version=2.0", ScaleRequest(model="m", version="1.0")),
        ("/models/a%20b?min_worker=x", ScaleRequest(model="a b")),
    ],
)  # fmt: skip
async def test_scaling(world: World, client: httpx.AsyncClient, target: str, asked: ScaleRequest) -> None:
    assert (await client.put(target)).status_code == 200
    assert world.management.asked == [("scale", asked)]


@pytest.mark.parametrize(
    ("method", "target", "asked"),
    [
        ("GET", "/models", ("list_models", 100, 0)),
        ("GET", "/models?limit=2&next_page_token=4", ("list_models", 2, 4)),
        ("GET", "/models/?limit=0&next_page_token=-4", ("list_models", 0, -4)),
        ("GET", "/models?limit=x&next_page_token=y", ("list_models", 100, 0)),
        ("GET", "/models/m", ("describe", "m", None)),
        ("GET", "/models/m/2.0/", ("describe", "m", "2.0")),
        ("GET", "/models/m/all?customized=true", ("describe", "m", "all")),
        ("PUT", "/models/m/2.0/set-default", ("set_default", "m", "2.0")),
        ("DELETE", "/models/m?timeout=3", ("unregister", "m", None)),
        ("DELETE", "/models/m/2.0", ("unregister", "m", "2.0")),
    ],
)
async def test_every_other_path_reaches_its_operation(
    world: World, client: httpx.AsyncClient, method: str, target: str, asked: tuple[Any, ...]
) -> None:
    assert (await client.request(method, target)).status_code == 200
    assert world.management.asked == [asked]


async def test_a_customized_description_is_answered_as_the_handler_says(
    world: World, client: httpx.AsyncClient
) -> None:
    world.management.answer = [{"modelName": "m"}]
    world.management.meta = ResponseMeta(
        218, "", {"x-model": "m", "Content-Type": "application/x-model", "bad\r\nname": "x", "content-length": "0"}
    )
    answer = await client.get("/models/m?customized=true", headers={"x-who": "me", "authorization": KEY})
    assert answer.status_code == 218 and answer.json() == [{"modelName": "m"}]
    assert answer.headers["x-model"] == "m" and answer.headers["content-type"] == "application/x-model"
    ((_, _, _, headers),) = world.management.asked
    assert headers["X-Who"] == "me"
    assert "authorization" not in {name.lower() for name in headers}, "a handler is not told the management token"


@pytest.mark.parametrize(("workers", "ready"), [([], False), (["UNLOADING"], False), (["UNLOADING", "READY"], True)])
async def test_kserve_is_told_whether_a_worker_is_ready(
    world: World, client: httpx.AsyncClient, workers: list[str], ready: bool
) -> None:
    world.management.answer = [{"workers": [{"status": status} for status in workers]}]
    assert (await client.get("/v1/models/m")).json() == {"name": "m", "ready": ready}
