"""The inference API over HTTP as tables: paths, inputs, headers, answers, errors (contract of REST, 2-4)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from grpc_fakes import answering
from http_fakes import LIMIT, HttpPorts, Running, echo, running

from stoker import errors as e
from stoker.core.ports import Readiness
from stoker.core.reply import ResponseMeta

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_FOUND = "Requested resource is not found, please refer to API document."


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(HttpPorts()) as it:
        it.inference.on_submit = echo
        yield it


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    document = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["connection"] == "close"
    assert response.text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert list(document) == ["code", "type", "message"]
    assert document["code"] == response.status_code
    return document["code"], document["type"], document["message"]


# ----------------------------------------------------------------------------------------- ping and probes


@pytest.mark.parametrize(("healthy", "status", "word"), [(True, 200, "Healthy"), (False, 500, "Unhealthy")])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_ping_says_how_the_server_is(server: Running, healthy: bool, status: int, word: str, method: str) -> None:
    server.inference.is_healthy = healthy
    response = await server.client.request(method, "/ping")
    assert (response.status_code, response.text) == (status, f'{{\n  "status": "{word}"\n}}\n')


async def test_live_and_ready_answer_without_a_token() -> None:
    ports = HttpPorts()
    ports.authorizer.token = "secret"
    async with running(ports) as server:
        assert (await server.client.get("/live")).json() == {"live": True}
        assert (await server.client.get("/ready")).json() == {"ready": True}
        ports.readiness.state = Readiness(ready=False, models=("m/1.0",))
        response = await server.client.get("/ready")
        assert (response.status_code, response.json()) == (503, {"ready": False, "modelsNotReady": ["m/1.0"]})
        ports.readiness.state = Readiness(ready=False, reason="The server is stopping.")
        assert (await server.client.get("/ready")).json() == {"ready": False, "reason": "The server is stopping."}


# ------------------------------------------------------------------------------------------------- paths

PATHS: dict[str, tuple[str, str | None, dict[str, str]]] = {
    "/predictions/m": ("m", None, {"explain": "False", "url_path": ""}),
    "/predictions/m/2.0": ("m", "2.0", {"explain": "False", "url_path": ""}),
    "/predictions/m/2.0/v1/chat?x=1": ("m", "2.0", {"explain": "False", "url_path": "v1/chat"}),
    "/explanations/m": ("m", None, {"explain": "True", "url_path": ""}),
    "/explanations/m/2.0": ("m", "2.0", {"explain": "True", "url_path": ""}),
    "/invocations?model_name=m": ("m", None, {}),
    "/models/m/invoke": ("m", None, {}),
    "/m/predict": ("m", None, {}),
    "/m/2.0/predict": ("m", "2.0", {}),
    "/v1/models/m:predict": ("m", None, {"explain": "False"}),
    "/v1/models/m:explain": ("m", None, {"explain": "True"}),
    "/v2/models/m/infer": ("m", None, {"explain": "False"}),
    "/v2/models/m/explain": ("m", None, {"explain": "True"}),
}
OURS = {"explain", "url_path"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_reaches_its_model_with_its_words_for_the_handler(server: Running, path: str) -> None:
    response = await server.client.post(path, content=b"hello")
    assert response.status_code == 200
    submission = server.inference.submissions[0]
    headers = {name: value for name, value in (submission.headers or {}).items() if name in OURS}
    assert (submission.model, submission.version, headers) == PATHS[path]
    assert submission.inputs["body"] == b"hello"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_every_method_predicts(server: Running, method: str) -> None:
    response = await server.client.request(method, "/predictions/m", content=b"x")
    assert (response.status_code, response.text) == (200, "x")


async def test_head_predicts_and_gets_no_body(server: Running) -> None:
    response = await server.client.head("/predictions/m")
    assert (response.status_code, response.content) == (200, b"")
    assert len(server.inference.submissions) == 1


@pytest.mark.parametrize(
    "path",
    ["/nope", "/predictions", "/predictions/", "/models/m/invoke/x", "/invocations/m", "/v1/models/m:x", "/v2", "/x/y"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_any_other_path_is_a_404_in_torchserves_words(server: Running, path: str, method: str) -> None:
    response = await server.client.request(method, path)
    assert error_of(response) == (404, "ResourceNotFoundException", NOT_FOUND)


@pytest.mark.parametrize(
    ("path", "startup_model", "body", "model"),
    [
        ("/invocations", "only", b"", "only"),
        ("/invocations?model_name=m", "only", b"", "m"),
        ("/invocations", None, b"model_name=m", "m"),
        ("/invocations", "only", b"model_name=m", "only"),
    ],
)
async def test_invocations_find_their_model(
    server: Running, path: str, startup_model: str | None, body: bytes, model: str
) -> None:
    server.inference.startup_model = startup_model
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await server.client.post(path, content=body, headers=form)).status_code == 200
    assert server.inference.submissions[0].model == model


async def test_invocations_without_a_model_are_refused(server: Running) -> None:
    response = await server.client.post("/invocations", content=b"x")
    assert error_of(response) == (400, "BadRequestException", "Parameter model_name is required.")


@pytest.mark.parametrize(("path", "passed"), [("/predictions/m?a=1", False), ("/m/predict?a=1", True)])
async def test_the_query_is_data_only_on_the_older_paths(server: Running, path: str, passed: bool) -> None:
    await server.client.post(path, content=b"x")
    assert server.inference.submissions[0].inputs == ({"a": b"1"} if passed else {}) | {"body": b"x"}


# ------------------------------------------------------------------------------------------------ inputs


async def test_a_body_keeps_its_mime_type_without_parameters(server: Running) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    await server.client.post("/predictions/m", content=b"{}", headers=headers)
    assert server.inference.submissions[0].kinds == {"body": "application/json"}


async def test_no_body_is_an_empty_one(server: Running) -> None:
    await server.client.get("/predictions/m")
    assert server.inference.submissions[0].inputs == {"body": b""}


async def test_files_and_fields_of_a_form_are_inputs(server: Running) -> None:
    files = {"data": ("kitten.jpg", b"\xff\xd8", "image/jpeg"), "note": (None, b"cat")}
    await server.client.post("/predictions/m", files=files)
    submission = server.inference.submissions[0]
    assert submission.inputs == {"data": b"\xff\xd8", "note": b"cat"}
    assert submission.kinds == {"data": "image/jpeg", "note": ""}


async def test_of_a_repeated_field_and_a_repeated_header_the_last_counts(server: Running) -> None:
    headers = [("X-Tag", "one"), ("X-Tag", "two"), ("Content-Type", "application/x-www-form-urlencoded")]
    await server.client.post("/predictions/m", content=b"a=1&a=2", headers=headers)
    submission = server.inference.submissions[0]
    assert submission.inputs == {"a": b"2"}
    assert (submission.headers or {})["X-Tag"] == "two"


async def test_headers_keep_the_clients_case_and_cannot_command_the_handler(server: Running) -> None:
    await server.raw(
        b"POST /models/m/invoke HTTP/1.1\r\nhOsT: x\r\nX-CamelCase: v\r\nDescribe: True\r\nEXPLAIN: True\r\n"
        b"authorization: Bearer mine\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    assert server.inference.submissions[0].headers == {
        "hOsT": "x",
        "X-CamelCase": "v",
        "authorization": "Bearer mine",
        "connection": "close",
        "content-length": "0",
    }


async def test_a_job_shares_its_batch_and_is_read_part_by_part(server: Running) -> None:
    await server.client.get("/predictions/m")
    assert (server.inference.submissions[0].streaming, server.inference.submissions[0].alone) == (True, False)


# ----------------------------------------------------------------------------------------------- answers


async def test_an_answer_has_the_usual_headers_and_no_content_type_of_its_own(server: Running) -> None:
    headers = {"x-request-id": "mine"}
    response = await server.client.post("/predictions/m", content=b"hello", headers=headers)
    found = dict(response.headers)
    assert UUID.fullmatch(found.pop("x-request-id")) is not None
    assert found == {
        "pragma": "no-cache",
        "cache-control": "no-cache; no-store, must-revalidate, private",
        "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
        "content-length": "5",
        "connection": "keep-alive",
    }


async def test_the_handler_sees_the_request_id_that_the_client_is_told(server: Running) -> None:
    response = await server.client.get("/predictions/m")
    assert response.headers["x-request-id"] == server.inference.submissions[0].request_id


async def test_what_the_handler_set_is_what_the_client_gets(server: Running) -> None:
    meta = ResponseMeta(202, "Brewing", {"content-type": "text/plain", "X-Cup": "2"})
    server.inference.on_submit = answering(b"tea", meta=meta)
    response = await server.client.get("/predictions/m")
    assert (response.status_code, response.reason_phrase, response.text) == (202, "Brewing", "tea")
    assert (response.headers["content-type"], response.headers["x-cup"]) == ("text/plain", "2")


async def test_a_handlers_own_error_status_keeps_its_body_and_closes(server: Running) -> None:
    server.inference.on_submit = answering(b"no tea", meta=ResponseMeta(418))
    response = await server.client.get("/predictions/m")
    assert (response.status_code, response.text, response.headers["connection"]) == (418, "no tea", "close")


async def test_a_204_has_no_body(server: Running) -> None:
    server.inference.on_submit = answering(b"ignored", meta=ResponseMeta(204))
    response = await server.client.get("/predictions/m")
    assert (response.status_code, response.content) == (204, b"")
    assert (await server.client.get("/ping")).status_code == 200  # the connection is in order


async def test_a_large_answer_arrives_whole(server: Running) -> None:
    server.inference.on_submit = answering(b"x" * 5_000_000)
    assert len((await server.client.get("/predictions/m")).content) == 5_000_000


REFUSALS: list[tuple[Exception, int, str, str]] = [
    (e.ModelNotFound(model="m"), 404, "ModelNotFoundException", "Model not found: m"),
    (
        e.ModelVersionNotFound(model="m", version="9"),
        404,
        "ModelVersionNotFoundException",
        "Model version: 9 does not exist for model: m",
    ),
    (e.NoWorkers("m"), 503, "ServiceUnavailableException", e.NoWorkers("m").message),
    (e.QueueFull("m"), 503, "ServiceUnavailableException", e.QueueFull("m").message),
    (RuntimeError("/home/secret"), 500, "InternalServerException", "Internal server error"),
]
FAILURES: list[tuple[e.ServingError, int, str]] = [
    (e.HandlerRaised(), 503, "Prediction failed"),
    (e.HandlerRefused("no cats", 513), 513, "no cats"),
    (e.HandlerRefused("too big", 413), 507, "too big"),
    (e.OutOfResources(), 507, "Out of resources"),
    (e.WorkerDied("exit code 3"), 500, "Worker died. Cause: exit code 3"),
    (e.ResponseTooLarge(7, 5), 507, "The response is larger than max_response_size: 7 bytes, the limit is 5."),
    (e.InvalidOutput("number of batch response mismatched"), 503, "number of batch response mismatched"),
]


@pytest.mark.parametrize(("error", "status", "type", "text"), REFUSALS, ids=lambda value: type(value).__name__)
async def test_a_refusal_is_an_error_document(
    server: Running, error: Exception, status: int, type: str, text: str
) -> None:
    server.inference.refusal = error
    assert error_of(await server.client.get("/predictions/m")) == (status, type, text)


@pytest.mark.parametrize(("error", "status", "text"), FAILURES, ids=lambda value: type(value).__name__)
async def test_a_failure_of_the_worker_is_an_error_document(
    server: Running, error: e.ServingError, status: int, text: str
) -> None:
    server.inference.on_submit = lambda submission: submission.reply.fail(error)
    assert error_of(await server.client.get("/predictions/m")) == (status, "InternalServerException", text)


async def test_a_request_that_waited_too_long_is_a_408(server: Running) -> None:
    """TorchServe answers nothing at all."""
    server.inference.on_submit = lambda submission: submission.reply.fail(e.DeadlineExceeded())
    assert error_of(await server.client.get("/predictions/m"))[:2] == (408, "RequestTimeoutException")


async def test_a_full_queue_is_a_429_with_retry_after_where_it_is_asked_for() -> None:
    async with running(HttpPorts(queue_full_status=429)) as server:
        server.inference.refusal = e.QueueFull("m")
        response = await server.client.get("/predictions/m")
        assert error_of(response)[:2] == (429, "ServiceUnavailableException")
        assert response.headers["retry-after"] == "1"
        server.inference.refusal = e.NoWorkers("m")
        assert (await server.client.get("/predictions/m")).status_code == 503


# ------------------------------------------------------------------------------------------ size and token


async def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(server: Running) -> None:
    assert (await server.client.post("/predictions/m", content=b"x" * LIMIT)).status_code == 200
    response = await server.client.post("/predictions/m", content=b"x" * (LIMIT + 1))
    assert (response.status_code, response.content, response.headers["connection"]) == (413, b"", "close")
    assert len(server.inference.submissions) == 1


async def test_a_body_of_unknown_size_is_cut_off_at_the_limit(server: Running) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    response = await server.client.post("/predictions/m", content=endless())
    assert (response.status_code, response.content) == (413, b"")
    assert not server.inference.submissions


TOKEN_ERROR = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


@pytest.mark.parametrize("path", ["/predictions/m", "/ping", "/nope", "/v1/models/m:predict"])
async def test_every_path_but_the_probes_asks_for_the_token(path: str) -> None:
    ports = HttpPorts()
    ports.authorizer.token = "secret"
    ports.inference.on_submit = echo
    async with running(ports) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            response = await server.client.post(path, content=b"x" * 50_000, headers=headers)
            assert error_of(response) == (400, "InvalidKeyException", TOKEN_ERROR)
        right = await server.client.post(path, headers={"Authorization": "Bearer secret"})
        assert right.status_code == (404 if path == "/nope" else 200)


async def test_a_prediction_that_is_too_large_asks_for_the_token_first() -> None:
    ports = HttpPorts()
    ports.authorizer.token = "secret"
    async with running(ports) as server:
        response = await server.client.post("/predictions/m", content=bytes(LIMIT + 1))
        assert error_of(response) == (400, "InvalidKeyException", TOKEN_ERROR)


async def test_the_servers_own_token_is_not_shown_to_the_handler() -> None:
    ports = HttpPorts()
    ports.authorizer.token = "secret"
    async with running(ports) as server:
        ports.inference.on_submit = echo
        await server.client.get("/predictions/m", headers={"Authorization": "Bearer secret"})
        assert not {name for name in ports.inference.submissions[0].headers or {} if name.lower() == "authorization"}


# ------------------------------------------------------------------------------------ access log and counters


async def test_every_answer_is_one_line_of_the_access_log_and_is_counted(server: Running) -> None:
    await server.client.get("/predictions/m?a=%20")
    await server.client.get("/ping")
    await server.client.get("/nope")
    lines = server.ports.access_log.lines
    assert [(request, status) for _, request, status, _ in lines] == [
        ("GET /predictions/m?a=%20 HTTP/1.1", 200),
        ("GET /ping HTTP/1.1", 200),
        ("GET /nope HTTP/1.1", 404),
    ]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", peer) for peer, _, _, _ in lines)
    assert server.ports.telemetry.statuses == [200, 200, 404]


async def test_headers_of_the_listener_are_on_every_answer_unless_the_handler_set_them() -> None:
    name, value = "access-control-allow-origin", "https://a.example"
    async with running(HttpPorts(headers=((name.encode(), value.encode()),))) as server:
        server.inference.on_submit = echo
        for path in ("/predictions/m", "/ping", "/nope"):
            assert (await server.client.get(path)).headers.get_list(name) == [value]
        server.inference.on_submit = answering(b"", meta=ResponseMeta(headers={"Access-Control-Allow-Origin": "*"}))
        assert (await server.client.get("/predictions/m")).headers.get_list(name) == ["*"]


# ---------------------------------------------------------------------------------------------- description


@pytest.mark.parametrize("path", ["/predictions/m", "/v1/models/m:predict", "/v2/models/m/infer", "/m/predict"])
async def test_options_on_a_prediction_path_describes_and_does_not_predict(path: str) -> None:
    async with running(HttpPorts(describe=lambda model: {"info": f"RESTful API for: {model}"})) as server:
        response = await server.client.options(path)
        assert (response.status_code, response.json()) == (200, {"info": "RESTful API for: m"})
        assert (await server.client.options("/nope")).status_code == 404
        assert not server.inference.submissions
