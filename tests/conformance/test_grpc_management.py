"""The management service: what reaches the port, what comes back, and what is refused before it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_fakes import DEADLINES, Ports, Running, running
from waiting import until

from stoker import errors as e
from stoker.core.ports import RegisterRequest, ScaleRequest
from stoker.protos import management_pb2 as pb

CODE = grpc.StatusCode
BAD_REQUEST = "org.pytorch.serve.http.BadRequestException"
INTERNAL_CLASS = "org.pytorch.serve.http.InternalServerException"
MODEL = "org.pytorch.serve.archive.model."
SERVICE = "/org.pytorch.serve.grpc.management.ManagementAPIsService/"

ROWS: list[tuple[Exception, grpc.StatusCode, str, str]] = [
    (
        e.BadRequest("Invalid RuntimeType value: x"),
        CODE.INVALID_ARGUMENT,
        "Invalid RuntimeType value: x",
        BAD_REQUEST,
    ),
    (
        e.UrlRefused("Relative path is not allowed in url: ../x"),
        CODE.NOT_FOUND,
        "Relative path is not allowed in url: ../x",
        MODEL + "ModelNotFoundException",
    ),
    (
        e.UrlRefused(url="u"),
        CODE.NOT_FOUND,
        "Given URL u does not match any allowed URL(s): see the setting allowed_urls",
        MODEL + "ModelNotFoundException",
    ),
    (
        e.PathRefused(url="/u"),
        CODE.NOT_FOUND,
        "Given path /u is not in the model store: see the setting allowed_model_paths",
        MODEL + "ModelNotFoundException",
    ),
    (e.ArchiveNotFound(url="u"), CODE.NOT_FOUND, "Model not found at: u", MODEL + "ModelNotFoundException"),
    (
        e.ModelStoreMissing(),
        CODE.NOT_FOUND,
        "Model store has not been configured.",
        MODEL + "ModelNotFoundException",
    ),
    (
        e.DownloadFailed(url="u"),
        CODE.INVALID_ARGUMENT,
        "Failed to download archive from: u",
        "org.pytorch.serve.archive.DownloadArchiveException",
    ),
    (e.ArchiveExists(file="a.mar"), CODE.INTERNAL, "Model file already exists a.mar", INTERNAL_CLASS),
    (e.ArchiveUnreadable(url="u"), CODE.INTERNAL, "Failed to save model: u", INTERNAL_CLASS),
    (
        e.InvalidArchive("Model name is not defined."),
        CODE.INVALID_ARGUMENT,
        "Model name is not defined.",
        MODEL + "InvalidModelException",
    ),
    (
        e.RequirementsFailed(model="m"),
        CODE.INVALID_ARGUMENT,
        "Custom pip package installation failed for model m",
        MODEL + "ModelException",
    ),
    (
        e.AlreadyRegistered(model="m", version="1"),
        CODE.ALREADY_EXISTS,
        "Model version 1 is already registered for model m",
        "org.pytorch.serve.http.ConflictStatusException",
    ),
    (
        e.WorkersFailedToStart(model="m", version="1"),
        CODE.INTERNAL,
        "Failed to start workers for model m version: 1",
        INTERNAL_CLASS,
    ),
    (
        e.MissingDevices(),
        CODE.INTERNAL,
        "Error while creating workers",
        "org.pytorch.serve.wlm.WorkerInitializationException",
    ),
    (e.ModelNotFound(model="m"), CODE.NOT_FOUND, "Model not found: m", MODEL + "ModelNotFoundException"),
    (
        e.ModelVersionNotFound(model="m", version="2"),
        CODE.NOT_FOUND,
        "Model version: 2 does not exist for model: m",
        MODEL + "ModelVersionNotFoundException",
    ),
    (
        e.CannotRemoveDefault(model="m"),
        CODE.FAILED_PRECONDITION,
        "Cannot remove default version for model m",
        "org.pytorch.serve.http.InvalidModelVersionException",
    ),
    (
        e.UnregisterTimeout(model="m"),
        CODE.DEADLINE_EXCEEDED,
        "Timed out while cleaning resources: m",
        "org.pytorch.serve.http.RequestTimeoutException",
    ),
    (ValueError("secret"), CODE.INTERNAL, "Internal server error", "InternalServerException.()"),
]

CALLS: dict[str, Any] = {
    "RegisterModel": pb.RegisterModelRequest(url="u"),
    "ScaleWorker": pb.ScaleWorkerRequest(model_name="m"),
    "SetDefault": pb.SetDefaultRequest(model_name="m", model_version="1"),
    "UnregisterModel": pb.UnregisterModelRequest(model_name="m"),
    "DescribeModel": pb.DescribeModelRequest(model_name="m"),
    "ListModels": pb.ListModelsRequest(),
}


async def refusal_of(call: Any) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


# ------------------------------------------------------------------------------------- what reaches the port


async def test_what_a_register_request_leaves_out_is_not_given(run: Running) -> None:
    reply = await run.management.RegisterModel(pb.RegisterModelRequest(url="m.mar", batch_size=-3))
    assert reply.msg == "done"
    assert run.ports.management.asked == [("register", RegisterRequest(url="m.mar"))]


async def test_what_a_register_request_says_arrives_in_seconds(run: Running) -> None:
    await run.management.RegisterModel(
        pb.RegisterModelRequest(
            url="m.mar",
            model_name="m",
            handler="h",
            runtime="python3",
            batch_size=4,
            max_batch_delay=50,
            initial_workers=2,
            response_timeout=7,
            startup_timeout=8,
            synchronous=True,
            s3_sse_kms=True,
        )
    )
    expected = RegisterRequest(
        url="m.mar",
        model_name="m",
        handler="h",
        runtime="python3",
        batch_size=4,
        max_batch_delay_s=0.05,
        initial_workers=2,
        response_timeout_s=7,
        startup_timeout_s=8,
        synchronous=True,
        s3_sse_kms=True,
    )
    assert run.ports.management.asked == [("register", expected)]


@pytest.mark.parametrize(
    ("fields", "fewest", "most"),
    [
        ({}, 1, None),
        ({"min_worker": 0, "max_worker": 0}, 1, None),
        ({"min_worker": -1, "max_worker": 4}, 1, 4),
        ({"min_worker": 3, "max_worker": 3, "number_gpu": 9, "timeout": 9}, 3, 3),
        ({"min_worker": 3}, 3, None),
    ],
)
async def test_worker_counts_of_zero_or_less_are_not_given(
    run: Running, fields: dict[str, int], fewest: int, most: int | None
) -> None:
    await run.management.ScaleWorker(pb.ScaleWorkerRequest(model_name="m", **fields))
    expected = ScaleRequest(model="m", version=None, min_workers=fewest, max_workers=most)
    assert run.ports.management.asked == [("scale", expected)]


@pytest.mark.parametrize(
    ("fields", "limit", "offset"),
    [
        ({}, 100, 0),
        ({"limit": 0}, 100, 0),
        ({"limit": 101}, 101, 0),
        ({"limit": -1, "next_page_token": -5}, -1, -5),
        ({"limit": 2, "next_page_token": 4}, 2, 4),
        ({"limit": 100}, 100, 0),
    ],
)
async def test_pages_are_of_a_hundred_where_nothing_is_asked_for(
    run: Running, fields: dict[str, int], limit: int, offset: int
) -> None:
    run.ports.management.answer = {"models": []}
    await run.management.ListModels(pb.ListModelsRequest(**fields))
    assert run.ports.management.asked == [("list_models", limit, offset)]


async def test_the_other_methods_pass_name_and_version(run: Running) -> None:
    await run.management.SetDefault(pb.SetDefaultRequest(model_name="m", model_version="2"))
    await run.management.UnregisterModel(pb.UnregisterModelRequest(model_name="m"))
    await run.management.UnregisterModel(pb.UnregisterModelRequest(model_name="m", model_version="2"))
    run.ports.management.answer = []
    for fields in ({}, {"model_version": "all", "customized": True}, {"customized": True}):
        await run.management.DescribeModel(pb.DescribeModelRequest(model_name="m", **fields))
    assert run.ports.management.asked == [
        ("set_default", "m", "2"),
        ("unregister", "m", None),
        ("unregister", "m", "2"),
        ("describe", "m", None),
        ("describe", "m", "all"),
        ("describe_customized", "m", None),
    ]


# ------------------------------------------------------------------------------------------ what comes back


async def test_data_comes_back_as_json_indented_by_two_without_escapes(run: Running) -> None:
    run.ports.management.answer = {"nextPageToken": "1", "models": [{"modelName": "<m\u00e9>", "modelUrl": "m.mar"}]}
    reply = await run.management.ListModels(pb.ListModelsRequest())
    assert reply.msg == (
        '{\n  "nextPageToken": "1",\n  "models": [\n    {\n      "modelName": "<m\u00e9>",\n'
        '      "modelUrl": "m.mar"\n    }\n  ]\n}'
    )


async def test_a_description_with_half_a_surrogate_pair_still_arrives(run: Running) -> None:
    run.ports.management.answer = [{"modelName": "m", "customizedMetadata": {"odd": "\ud800"}}]
    request = pb.DescribeModelRequest(model_name="m", customized=True)
    assert '"odd": "?"' in (await run.management.DescribeModel(request)).msg


WITHOUT_A_TEXT = (e.AlreadyRegistered, e.CannotRemoveDefault, e.UnregisterTimeout)
"""TorchServe answers them UNKNOWN."""


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
async def test_every_error_has_its_code_and_class_from_every_method(ports: Ports, mode: str) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        for error, correct, first, second in ROWS:
            unknown = mode == "torchserve" and isinstance(error, WITHOUT_A_TEXT)
            code = CODE.UNKNOWN if unknown else correct
            ports.management.error = error
            for method, request in CALLS.items():
                got = await refusal_of(getattr(run.management, method)(request))
                assert got == (code, f"{first}\n{second}"), (error, method)


async def test_a_failed_start_for_want_of_memory_is_resource_exhausted(run: Running) -> None:
    run.ports.management.error = e.WorkersOutOfMemory(model="m", version=None)
    code, details = await refusal_of(run.management.ScaleWorker(CALLS["ScaleWorker"]))
    assert code is CODE.RESOURCE_EXHAUSTED
    assert details == f"Failed to start workers for model m version: None\n{INTERNAL_CLASS}"


@pytest.mark.parametrize(("mode", "code"), [("correct", CODE.NOT_FOUND), ("torchserve", CODE.INTERNAL)])
async def test_a_customized_description_fails_as_a_prediction_does(
    ports: Ports, mode: str, code: grpc.StatusCode
) -> None:
    ports.status_codes = mode
    ports.management.error = e.ModelNotFound(model="m")
    async with running(ports) as run:
        got = await refusal_of(run.management.DescribeModel(pb.DescribeModelRequest(model_name="m", customized=True)))
    assert got == (code, f"Model not found: m\n{MODEL}ModelNotFoundException")


async def test_without_the_model_api_models_come_and_go_no_more_but_the_rest_works(ports: Ports) -> None:
    ports.model_api_enabled = False
    async with running(ports) as run:
        for method in ("RegisterModel", "UnregisterModel"):
            got = await refusal_of(getattr(run.management, method)(CALLS[method]))
            assert got == (CODE.PERMISSION_DENIED, f"Model API disabled\n{MODEL}ModelException")
        for method in ("ScaleWorker", "SetDefault", "DescribeModel", "ListModels"):
            await getattr(run.management, method)(CALLS[method])
        assert len(ports.management.asked) == 4


@pytest.mark.parametrize("method", list(CALLS))
async def test_junk_is_an_invalid_argument(run: Running, method: str) -> None:
    code, details = await refusal_of(run.channel.unary_unary(SERVICE + method)(b"\xff\xff\xff"))
    assert code is CODE.INVALID_ARGUMENT
    assert details == f"The request is not a valid {method}Request message.\n{BAD_REQUEST}"


# --------------------------------------------------------------------------------------- clients that leave


async def test_a_client_that_leaves_does_not_stop_the_operation(run: Running) -> None:
    hold = run.ports.management.hold = asyncio.Event()
    call = run.management.RegisterModel(pb.RegisterModelRequest(url="u", synchronous=True))
    await until(lambda: bool(run.ports.management.asked))
    call.cancel()
    await until(lambda: run.server.open_calls == 0)
    assert run.ports.management.finished == 0
    hold.set()
    await until(lambda: run.ports.management.finished == 1)


async def test_a_deadline_that_passes_does_not_stop_the_operation(run: Running) -> None:
    hold = run.ports.management.hold = asyncio.Event()
    for timeout in DEADLINES:
        call = run.management.ScaleWorker(pb.ScaleWorkerRequest(model_name="m", synchronous=True), timeout=timeout)
        assert (await refusal_of(call))[0] is CODE.DEADLINE_EXCEEDED
        if run.ports.management.asked:
            break
    await until(lambda: run.server.open_calls == 0)
    hold.set()
    await until(lambda: run.ports.management.finished == 1)
