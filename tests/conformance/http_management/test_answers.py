"""What the management API answers, refuses before it asks the port, and does when a client leaves."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import wire
from http_management_kit import World
from leaks import telltale
from waiting import until

from stoker import errors as e


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


async def test_an_operation_does_not_begin_if_its_body_is_too_large_even_if_it_reads_none(
    world: World, client: httpx.AsyncClient
) -> None:
    assert client.base_url.port is not None
    reader, writer = await wire.connect(client.base_url.port)
    writer.write(b"DELETE /models/m HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100001\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    assert world.management.asked == []
    writer.close()


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
