"""The table from errors to statuses, type names and texts of TorchServe."""

from __future__ import annotations

import json

import pytest

from stoker import errors as e
from stoker.frontend.http.responses import error_bytes, json_bytes
from stoker.frontend.http.status import answer_of, status_of_number

NO_WORKER = 'Model "m" has no worker to serve inference request.'
ROWS: list[tuple[Exception, int, str, str]] = [
    (e.ResourceNotFound(), 404, "ResourceNotFoundException", "Requested resource is not found, please refer to"),
    (e.MethodNotAllowed(), 405, "MethodNotAllowedException", "Requested method is not allowed, please refer to"),
    (e.ModelNotFound(model="m"), 404, "ModelNotFoundException", "Model not found: m"),
    (
        e.ModelVersionNotFound(model="m", version="2"),
        404,
        "ModelVersionNotFoundException",
        "Model version: 2 does not exist for model: m",
    ),
    (e.BadRequest("Parameter url is required."), 400, "BadRequestException", "Parameter url is required."),
    (e.TokenRejected(), 400, "InvalidKeyException", "Token Authorization failed."),
    (e.NoWorkers("m"), 503, "ServiceUnavailableException", NO_WORKER),
    (e.QueueFull("m"), 503, "ServiceUnavailableException", NO_WORKER),
    (e.ServerStopping(), 503, "ServiceUnavailableException", "The server is stopping."),
    (e.DeadlineExceeded(), 408, "RequestTimeoutException", "The deadline passed"),
    (e.ResponseTimeout(seconds=1), 500, "InternalServerException", "The worker did not answer"),
    (e.WorkerDied("exit code 3"), 500, "InternalServerException", "Worker died. Cause: exit code 3"),
    (e.WorkerOutOfMemory("killed"), 507, "InternalServerException", "Worker died."),
    (e.HandlerRaised(), 503, "InternalServerException", "Prediction failed"),
    (e.HandlerRefused("no", 513), 513, "InternalServerException", "no"),
    (e.HandlerRefused("no", 413), 507, "InternalServerException", "no"),
    (e.HandlerRefused("no", 7), 500, "InternalServerException", "no"),
    (e.OutOfResources(), 507, "InternalServerException", "Out of resources"),
    (e.InvalidOutput("Invalid model predict output"), 503, "InternalServerException", "Invalid model predict output"),
    (e.ResponseTooLarge(7, 5), 507, "InternalServerException", "The response is larger than max_response_size"),
    (e.AlreadyRegistered(model="m", version="1"), 409, "ConflictStatusException", "Model version 1 is already"),
    (e.CannotRemoveDefault(model="m"), 403, "InvalidModelVersionException", "Cannot remove default version"),
    (e.UnregisterTimeout(model="m"), 408, "RequestTimeoutException", "Timed out while cleaning resources: m"),
    (e.WorkersFailedToStart(model="m", version="1"), 500, "InternalServerException", "Failed to start workers"),
    (e.MissingDevices(), 500, "WorkerInitializationException", "Error while creating workers"),
    (e.ArchiveNotFound(url="x"), 404, "ModelNotFoundException", "Model not found at: x"),
    (e.UrlRefused(url="x"), 404, "ModelNotFoundException", "Given URL x does not match any allowed URL(s)"),
    (e.PathRefused(url="/x"), 404, "ModelNotFoundException", "Given path /x is not in the model store"),
    (e.DownloadFailed(url="x"), 400, "DownloadArchiveException", "Failed to download archive from: x"),
    (e.ArchiveExists(file="x"), 500, "InternalServerException", "Model file already exists x"),
    (e.InvalidArchive(), 400, "InvalidModelException", "The archive or its manifest is not valid."),
    (e.RequirementsFailed(model="m"), 400, "ModelException", "Custom pip package installation failed for model m"),
]


@pytest.mark.parametrize(("error", "status", "type", "text"), ROWS, ids=lambda value: type(value).__name__)
def test_an_error_has_torchserves_status_name_and_words(error: Exception, status: int, type: str, text: str) -> None:
    answer = answer_of(error)
    assert (answer.status, answer.type) == (status, type)
    assert answer.message.startswith(text)


def test_a_mistake_of_ours_tells_the_client_nothing_of_our_insides(caplog: pytest.LogCaptureFixture) -> None:
    answer = answer_of(KeyError("/home/secret"))
    assert answer == (500, "InternalServerException", "Internal server error", "")
    assert "unexpected error" in caplog.text


def test_an_error_document_is_pretty_and_ends_with_a_newline() -> None:
    assert error_bytes(answer_of(e.ModelNotFound(model="<m>"))) == (
        b'{\n  "code": 404,\n  "type": "ModelNotFoundException",\n  "message": "Model not found: <m>"\n}\n'
    )


def test_members_that_are_null_are_left_out_and_text_is_not_escaped() -> None:
    written = json_bytes({"a": None, "b": [{"c": None, "d": "ä<>\ud800"}], "e": {}})
    assert json.loads(written) == {"b": [{"d": "ä<>?"}], "e": {}}


@pytest.mark.parametrize(("number", "status"), [(400, 400), (413, 507), (599, 599), (999, 999), (200, 500), (-1, 500)])
def test_a_workers_number_is_a_status_if_it_is_one_of_an_error(number: int, status: int) -> None:
    assert status_of_number(number) == status
