"""The management, metrics and description APIs over real HTTP: what reaches the ports, and every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from grpc_fakes import FakeManagement, until
from http_fakes import FakeTelemetry, HttpPorts, client_of
from leaks import telltale

from stoker import errors as e
from stoker.core.ports import RegisterRequest, ScaleRequest, TokenScope
from stoker.core.reply import ResponseMeta
from stoker.frontend.http.app import Api, App
from stoker.frontend.http.description import description_api
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.management import management_api
from stoker.frontend.http.metrics import metrics_api
from stoker.frontend.http.openapi_operations import of_listener

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
            description_api(of_listener(inference=False, management=True, metrics=True), version="0.12.0"),
            management_api(self.management, authorizer=self.tokens, guard=self.guard, model_api_enabled=self.model_api),
            metrics_api(FakeMetrics()),
        ]
        ports = HttpPorts(telemetry=self.telemetry, headers=self.headers)
        async with (
            ports.listener(app=App([*apis, *self.more])) as listener,
            client_of(f"http://127.0.0.1:{listener.port}") as client,
        ):
            yield client


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as it:
        yield it


# -------------------------------------------------------------------------------------------- what is asked


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


# --------------------------------------------------------------------------------------------- the answers


@pytest.mark.parametrize(
    ("sentence", "status"),
    [("Processing worker updates...", 202), ("Workers scaling in progress...", 206), ("other", 200)],
)
@pytest.mark.parametrize(("method", "target"), [("POST", "/models?url=u"), ("PUT", "/models/m")])
async def test_the_sentence_decides_the_status(
    world: World, client: httpx.AsyncClient, method: str, target: str, sentence: str, status: int
) -> None:
    world.management.answer = sentence
    answer = await client.request(method, target)
    assert (answer.status_code, answer.json()) == (status, {"status": sentence})


ERRORS: list[tuple[Exception, int, str, str]] = [
    (e.BadRequest("Invalid RuntimeType value: x"), 400, "BadRequestException", "Invalid RuntimeType value: x"),
    (e.ModelNotFound(model="m"), 404, "ModelNotFoundException", "Model not found: m"),
    (
        e.ModelVersionNotFound(model="m", version="2"),
        404,
        "ModelVersionNotFoundException",
        "Model version: 2 does not exist for model: m",
    ),
    (e.ArchiveNotFound(url="u"), 404, "ModelNotFoundException", "Model not found at: u"),
    (e.DownloadFailed(url="u"), 400, "DownloadArchiveException", "Failed to download archive from: u"),
    (e.ArchiveExists(file="a"), 500, "InternalServerException", "Model file already exists a"),
    (e.InvalidArchive("no name"), 400, "InvalidModelException", "no name"),
    (e.RequirementsFailed(model="m"), 400, "ModelException", "Custom pip package installation failed for model m"),
    (
        e.AlreadyRegistered(model="m", version="1"),
        409,
        "ConflictStatusException",
        "Model version 1 is already registered for model m",
    ),
    (
        e.CannotRemoveDefault(model="m"),
        403,
        "InvalidModelVersionException",
        "Cannot remove default version for model m",
    ),
    (e.UnregisterTimeout(model="m"), 408, "RequestTimeoutException", "Timed out while cleaning resources: m"),
    (
        e.WorkersFailedToStart(model="m", version="1"),
        500,
        "InternalServerException",
        "Failed to start workers for model m version: 1",
    ),
    (e.MissingDevices(), 500, "WorkerInitializationException", "Error while creating workers"),
    (
        e.NoWorkersToDescribe("m"),
        503,
        "ServiceUnavailableException",
        'Model "m" has no worker to serve describe request. Please use scale workers API to add workers.',
    ),
    (ValueError("/secret/path"), 500, "InternalServerException", "Internal server error"),
]


@pytest.mark.parametrize(
    "text",
    [
        'File "/srv/stoker/app.py", line 3, in handle',
        "cannot open /home/me/models",
        "set TS_MODEL_STORE",
        "not management-key",
        "Bearer abc",
    ],
)
def test_what_errors_must_not_tell_is_found(text: str) -> None:
    """Every error answer over HTTP in this folder is searched for it."""
    assert telltale(f"something {text} happened") is not None


@pytest.mark.parametrize(("error", "status", "kind", "message"), ERRORS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize(("method", "target"), [("DELETE", "/models/m"), ("GET", "/models/m?customized=true")])
async def test_every_error_has_torchserves_document(
    world: World,
    client: httpx.AsyncClient,
    method: str,
    target: str,
    error: Exception,
    status: int,
    kind: str,
    message: str,
) -> None:
    world.management.error = error
    answer = await client.request(method, target)
    assert (answer.status_code, answer.json()) == (status, {"code": status, "type": kind, "message": message})
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "message"),
    [
        ("POST", "/models", b"", 400, "Parameter url is required."),
        ("POST", "/models?url=", b"", 404, "empty url"),
        ("POST", "/models?url=u", b"{", 400, "The request body is not valid JSON."),
        ("POST", "/models?url=u", b"[]", 400, "The request body is not a JSON object."),
        ("POST", "/models", b'{"url": []}', 400, "Parameter url has a value of the wrong kind."),
        ("POST", "/models", b'{"url": "u", "batch_size": "x"}', 400, "Parameter batch_size is not a whole number."),
        ("POST", "/models/m", b"", 405, "Requested method is not allowed, please refer to API document."),
        ("DELETE", "/models", b"", 405, "Requested method is not allowed, please refer to API document."),
        (
            "GET",
            "/models/m/1.0/set-default",
            b"",
            405,
            "Requested method is not allowed, please refer to API document.",
        ),
        ("POST", "/v1/models/m", b"", 405, "Requested method is not allowed, please refer to API document."),
        ("GET", "/", b"", 405, "Requested method is not allowed, please refer to API document."),
        ("GET", "/models/m/1.0/x", b"", 404, "Requested resource is not found, please refer to API document."),
        ("GET", "/models//1.0", b"", 404, "Requested resource is not found, please refer to API document."),
        ("GET", "/workflows", b"", 404, "Requested resource is not found, please refer to API document."),
        ("GET", "/token?type=inference", b"", 404, "Requested resource is not found, please refer to API document."),
    ],
)
async def test_what_is_refused_before_any_operation(
    world: World, client: httpx.AsyncClient, method: str, target: str, body: bytes, status: int, message: str
) -> None:
    answer = await client.request(method, target, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert world.management.asked == []


async def test_a_registration_that_is_too_large_is_answered_empty(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post("/models", content=b" " * 100_001, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.content) == (413, b"")
    assert world.management.asked == []


@pytest.mark.parametrize(("method", "target"), [("POST", "/models?url=u"), ("DELETE", "/models/m")])
async def test_without_the_model_api_models_can_be_scaled_but_not_registered(method: str, target: str) -> None:
    world = World(model_api=False)
    async with world.client() as client:
        answer = await client.request(method, target)
        assert (answer.status_code, answer.json()["type"]) == (405, "MethodNotAllowedException")
        assert answer.json()["message"] == "Requested method is not allowed, please refer to API document."
        assert (await client.put("/models/m")).status_code == 200
    assert [name for name, *_ in world.management.asked] == ["scale"]


async def test_an_operation_goes_on_when_its_client_leaves(world: World, client: httpx.AsyncClient) -> None:
    world.management.hold = asyncio.Event()
    posting = asyncio.ensure_future(client.post("/models?url=u"))
    await until(lambda: bool(world.management.asked))
    posting.cancel()
    await asyncio.wait({posting})
    world.management.hold.set()
    await until(lambda: world.management.finished == 1)


async def test_a_client_that_leaves_within_its_registration_is_no_error_of_the_server(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.client() as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
        await writer.drain()
        assert (await client.get("/models")).status_code == 200  # the other request was begun before
        writer.close()
        await until(lambda: world.telemetry.statuses.count(499) == 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_asking_a_handler_ends_when_the_client_leaves(world: World, client: httpx.AsyncClient) -> None:
    world.management.hold = asyncio.Event()
    waiting = asyncio.ensure_future(client.get("/models/m?customized=true"))
    await until(lambda: bool(world.management.asked))
    waiting.cancel()
    await until(lambda: world.management.cancelled > 0)
    assert (len(world.management.asked), world.management.cancelled) == (1, 1)


# --------------------------------------------------------------------------------------------- who may call


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


# ------------------------------------------------------------------------------- metrics and descriptions


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
            continue  # served by routes of their own, see test_http_workflows
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
