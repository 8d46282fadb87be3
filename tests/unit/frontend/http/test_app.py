"""Several APIs on one listener: who is asked for which token, and what is not there."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.errors import DeadlineExceeded, TokenRejected
from stoker.frontend.http.app import Api, App
from stoker.frontend.http.status import answer_of


def api(name: str, *paths: str, token: str | None = None, free: str | None = None) -> Api:
    async def answer(request: Request) -> Response:
        return Response(name)

    async def late(request: Request) -> Response:
        raise DeadlineExceeded

    async def body(request: Request) -> Response:
        return Response(await request.body())

    def admit(request: Request) -> None:
        if token is not None and request.headers.get("authorization") != token:
            raise TokenRejected

    special = {"/late": late, "/body": body}
    routes = [Route(path, special.get(path, answer), methods=["GET", "POST"]) for path in paths]
    return Api(routes=routes, open_routes=[Route(free, answer)] if free else [], admit=admit)


async def ask(app: App, path: str, *, method: str = "GET", token: str = "", body: bytes = b"") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", token.encode())] if token else [],
        "client": ("127.0.0.1", 5),
    }
    try:
        await app(scope, receive, send)
    except Exception as error:
        return answer_of(error).status, b""
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def shared() -> App:
    apis = [
        api("inference", "/ping", "/models/m/invoke", token="i", free="/live"),
        api("management", "/models", "/late", "/body", token="m", free="/token"),
        api("metrics", "/metrics"),
    ]
    return App(apis)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/ping", "i", 200),
        ("/ping", "m", 400),
        ("/ping", "", 400),
        ("/models", "m", 200),
        ("/models", "i", 400),
        ("/models", "", 400),
        ("/models/m/invoke", "i", 200),
        ("/live", "", 200),
        ("/token", "", 200),
        ("/metrics", "", 200),
        ("/nope", "", 400),
        ("/nope", "x", 400),
    ],
)
async def test_each_api_of_a_shared_listener_asks_for_its_own_token(
    shared: App, path: str, token: str, status: int
) -> None:
    """In TorchServe no request can pass there: both keys would have to match."""
    assert (await ask(shared, path, token=token))[0] == status


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("DELETE", 405)])
async def test_a_path_with_another_method_is_a_405(method: str, status: int) -> None:
    app = App([api("a", "/x"), api("b", "/y")])
    assert (await ask(app, "/y", method=method))[0] == status
    assert (await ask(app, "/z", method=method))[0] == 404


async def test_an_error_of_a_route_is_raised_for_the_connection_to_answer(shared: App) -> None:
    assert (await ask(shared, "/late", token="m"))[0] == 408
    assert (await ask(shared, "/body", token="m", method="POST", body=bytes(10))) == (200, bytes(10))
