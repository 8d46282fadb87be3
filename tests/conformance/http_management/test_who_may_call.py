"""Tokens, browsers and methods: who is let into the management API."""

from __future__ import annotations

import httpx
import pytest
from http_management_kit import API_KEY, KEY, FakeTokens, World

from stoker import errors as e
from stoker.core.reply import ResponseMeta
from stoker.frontend.http.app import Api
from stoker.frontend.http.guards import BrowserGuard


async def test_everything_but_descriptions_and_metrics_needs_the_management_token() -> None:
    async with World(tokens=FakeTokens(on=True)).client() as client:
        for method, target in (("GET", "/models"), ("PUT", "/models/m"), ("GET", "/v1/models/m"), ("GET", "/nowhere")):
            refused = await client.request(method, target)
            assert (refused.status_code, refused.json()["type"]) == (400, "InvalidKeyException")
            assert refused.json()["message"].startswith("Token Authorization failed.")
        assert (await client.get("/models", headers={"authorization": KEY})).status_code == 200
        assert (await client.options("/")).status_code == 200
        assert (await client.get("/api-description")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200


async def test_a_wrong_method_is_told_also_where_another_api_shares_the_listener() -> None:
    """That one asks for another token, which has no say in it."""

    def refuse(request: object) -> None:
        raise e.TokenRejected

    async with World(tokens=FakeTokens(on=True), more=(Api(routes=(), admit=refuse),)).client() as client:
        assert (await client.post("/models/m", headers={"authorization": KEY})).status_code == 405
        assert (await client.get("/nowhere", headers={"authorization": KEY})).status_code == 400
        assert (await client.post("/models/m")).status_code == 400


async def test_tokens_are_rotated_with_the_api_key_and_nothing_else() -> None:
    world = World(tokens=FakeTokens(on=True))
    async with world.client() as client:
        for method in ("GET", "POST", "PUT"):
            answer = await client.request(method, "/token?type=inference", headers={"authorization": API_KEY})
            assert (answer.status_code, answer.text) == (200, "\n")
            assert answer.headers["content-type"] == "application/json"
        for target, key in (("/token?type=inference", KEY), ("/token?type=x", API_KEY), ("/token", API_KEY)):
            refused = await client.get(target, headers={"authorization": key})
            assert (refused.status_code, refused.json()["type"]) == (400, "InvalidKeyException")
            assert refused.json()["message"].startswith("Token Authentication failed")
        # A path is a rotation, not a text somewhere in the request that looks like one.
        tricked = await client.get("/models?x=/token", headers={"authorization": API_KEY, "x": "/token"})
        assert tricked.json()["message"].startswith("Token Authorization failed")
    assert world.tokens.rotated == ["inference"] * 3


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example:8081"},
    ],
)
async def test_a_request_that_a_foreign_page_may_have_made_is_refused(
    world: World, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    world.tokens.on = True
    for method, target in (("POST", "/models?url=u"), ("GET", "/models"), ("GET", "/token?type=inference")):
        answer = await client.request(method, target, headers={"authorization": API_KEY, **headers})
        assert (answer.status_code, answer.json()["type"]) == (403, "ForbiddenException")
    assert world.management.asked == [] and world.tokens.rotated == []


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost:8081", "localhost", "[::1]:8081"])
async def test_programs_on_this_machine_are_served_under_its_usual_names(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/models", headers={"host": host})).status_code == 200


async def test_a_configured_origin_is_served_and_every_answer_has_its_headers() -> None:
    world = World(
        guard=BrowserGuard(origins="https://ui.example"),
        headers=((b"access-control-allow-origin", b"https://ui.example"), (b"access-control-allow-methods", b"GET")),
    )
    page = {"origin": "https://ui.example", "sec-fetch-site": "cross-site"}
    async with world.client() as client:
        for method, target, status in (("GET", "/models", 200), ("OPTIONS", "/", 200), ("GET", "/nowhere", 404)):
            answer = await client.request(method, target, headers=page)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "https://ui.example"
            assert answer.headers["access-control-allow-methods"] == "GET"


async def test_what_a_handler_says_about_origins_wins() -> None:
    world = World(headers=((b"access-control-allow-origin", b"*"),))
    world.management.answer = []
    world.management.meta = ResponseMeta(200, "", {"Access-Control-Allow-Origin": "https://one.example"})
    async with world.client() as client:
        answer = await client.get("/models/m?customized=true")
    assert answer.headers.get_list("access-control-allow-origin") == ["https://one.example"]
