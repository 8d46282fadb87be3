"""Health, metadata, statistics, and the repository."""

from __future__ import annotations

import time

import grpc
import pytest
from grpc_fakes import Ports, Running, running
from metrics_rig import batch_ended
from open_inference_kit import CODE, STANDARD, TORCHSERVE, Client

from stoker.core.job import ModelKey
from stoker.core.measures import ModelCounters, RequestTotals
from stoker.core.ports import Readiness
from stoker.protos import grpc_predict_v2_pb2 as pb


@pytest.mark.parametrize("service", [STANDARD, TORCHSERVE])
async def test_health_says_how_it_is(run: Running, service: str) -> None:
    call = Client(run, service)
    assert (await call("ServerLive", pb.ServerLiveRequest())).live
    for state in (True, False):
        run.ports.readiness.state = Readiness(ready=state)
        assert (await call("ServerReady", pb.ServerReadyRequest())).ready is state
    run.ports.models.not_ready = {"plain"}
    for name, ready in (("m", True), ("plain", False)):
        assert (await call("ModelReady", pb.ModelReadyRequest(name=name))).ready is ready


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_questions_about_an_unknown_model_are_not_found(ports: Ports, mode: str, method: str) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        call, kind = Client(run), getattr(pb, f"{method}Request")
        assert await call.error(method, kind(name="nobody")) == (CODE.NOT_FOUND, "Model not found: nobody")
        code, text = await call.error(method, kind(name="m", version="9"))
        assert (code, text) == (CODE.NOT_FOUND, "Model version: 9 does not exist for model: m")


@pytest.mark.parametrize(
    ("method", "text"),
    [("ModelReady", "Parameter name is required."), ("ModelMetadata", "Parameter model_name is required.")],
)
async def test_a_question_about_no_model_is_refused(call: Client, method: str, text: str) -> None:
    request = getattr(pb, f"{method}Request")()
    assert await call.error(method, request) == (CODE.INVALID_ARGUMENT, text)


async def test_metadata_is_what_the_config_says(call: Client) -> None:
    server = await call("ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, server.version) == ("Torchserve", "0.12.0")
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server.extensions)
    model = await call("ModelMetadata", pb.ModelMetadataRequest(name="configured"))
    assert (model.name, list(model.versions), model.platform) == ("configured", ["1.0"], "onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [
        ("a", "INT32", [-1, 2]),
        ("b", "BYTES", [-1]),
    ]
    model = await call("ModelMetadata", pb.ModelMetadataRequest(name="m"))
    assert (list(model.versions), list(model.inputs)) == (["1.0", "2.0"], [])
    assert list((await call("ModelMetadata", pb.ModelMetadataRequest(name="m", version="2.0"))).versions) == ["2.0"]


async def test_the_config_has_dimensions_without_that_of_the_batch(call: Client) -> None:
    config = (await call("ModelConfig", pb.ModelConfigRequest(name="configured"))).config
    assert (config.name, config.max_batch_size) == ("configured", 4)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("a", 8, [2]), ("b", 13, [])]
    assert [(t.name, t.data_type) for t in config.output] == [("total", 9), ("label", 13)]


async def test_statistics_are_those_of_the_metrics(call: Client) -> None:
    counters = ModelCounters()
    batch_ended(counters, 3, 0.5, 0.25)
    batch_ended(counters, 3, 0.5, -1.0)
    batch_ended(counters, 1, 0.5, 0.125, served=[(RequestTotals(), 0.125, 0.5)])
    counters.last_batch_at = time.monotonic()
    counters.failed = 2
    call.run.ports.models.counted[ModelKey("m", "2.0")] = counters
    found = await call("ModelStatistics", pb.ModelStatisticsRequest(name="m", version="2.0"))
    (one,) = found.model_stats
    assert (one.name, one.version, one.inference_count, one.execution_count) == ("m", "2.0", 7, 3)
    assert abs(one.last_inference / 1000 - time.time()) < 3600
    assert [(batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns) for batch in one.batch_stats] == [
        (1, 1, 125_000_000),
        (3, 1, 250_000_000),
    ]
    total = one.inference_stats
    assert [(d.count, d.ns) for d in (total.success, total.fail, total.queue, total.compute_infer)] == [
        (1, 500_000_000),
        (2, 0),
        (1, 125_000_000),
        (2, 375_000_000),
    ]
    found = await call("ModelStatistics", pb.ModelStatisticsRequest())
    assert [(each.last_inference > 0, len(each.batch_stats)) for each in found.model_stats] == [
        (False, 0),
        (True, 2),
        (False, 0),
        (False, 0),
    ]


async def test_the_repository_loads_lists_and_unloads(call: Client) -> None:
    ports = call.run.ports
    ports.models.stored = ["spare"]
    found = (await call("RepositoryIndex", pb.RepositoryIndexRequest())).models
    assert [(m.name, m.state) for m in found if m.name in ("plain", "spare")] == [
        ("plain", "READY"),
        ("spare", "UNAVAILABLE"),
    ]
    ready = (await call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))).models
    assert {m.state for m in ready} == {"READY"}
    await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="plain"))
    assert not ports.management.asked, "it is served already"
    await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="spare"))
    (_, request) = ports.management.asked.pop()
    assert (request.url, request.model_name, request.initial_workers, request.synchronous) == (
        "spare.mar",
        "spare",
        1,
        True,
    )
    await call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="m"))
    assert ports.management.asked == [("unregister", "m", "2.0"), ("unregister", "m", "1.0")], "the default last"


async def test_clients_of_kserve_name_the_model_in_the_first_field_and_read_that_it_is_loaded(call: Client) -> None:
    call.run.ports.models.stored = ["spare"]
    done = await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="spare"))
    assert (done.model_name, done.is_loaded) == ("spare", True)
    done = await call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="plain"))
    assert (done.model_name, done.is_unloaded) == ("plain", True)


REFUSED = [("RepositoryModelLoad", "spare"), ("RepositoryModelUnload", "plain")]


@pytest.mark.parametrize(("method", "model"), REFUSED)
async def test_the_repository_is_closed_where_the_model_api_is(ports: Ports, method: str, model: str) -> None:
    ports.model_api_enabled = False
    async with running(ports) as run:
        request = getattr(pb, f"{method}Request")(model_name=model)
        assert await Client(run).error(method, request) == (CODE.PERMISSION_DENIED, "Model API disabled")


@pytest.mark.parametrize(("method", "model"), [*REFUSED, ("RepositoryIndex", "")])
async def test_the_repository_is_served_on_the_management_port_alone(ports: Ports, method: str, model: str) -> None:
    ports.repository_served = False
    async with running(ports) as run:
        request = getattr(pb, f"{method}Request")(**({"model_name": model} if model else {}))
        code, text = await Client(run).error(method, request)
        assert (code, text) == (CODE.PERMISSION_DENIED, "The model repository is served on the management port.")
        assert not ports.management.asked


async def test_a_load_takes_no_parameters_and_knows_the_store_alone(call: Client) -> None:
    ports = call.run.ports
    ports.models.stored = ["spare"]
    request = pb.RepositoryModelLoadRequest(model_name="spare")
    request.parameters["file:1/model.py"].bytes_param = b"import os"
    assert (await call.error("RepositoryModelLoad", request))[0] is CODE.INVALID_ARGUMENT
    for name in ("../spare", "https://evil.example/m", "nobody", "spare.mar/.."):
        request = pb.RepositoryModelLoadRequest(model_name=name)
        assert (await call.error("RepositoryModelLoad", request))[0] is CODE.NOT_FOUND
    assert not ports.management.asked


@pytest.mark.parametrize(
    "method", ["TraceSetting", "LogSettings", "SystemSharedMemoryStatus", "CudaSharedMemoryRegister", "NoSuchMethod"]
)
@pytest.mark.parametrize("service", [STANDARD, TORCHSERVE])
async def test_extensions_that_are_not_served_are_unimplemented(run: Running, service: str, method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run.channel.unary_unary(f"/{service}/{method}")(b"")
    assert caught.value.code() is CODE.UNIMPLEMENTED
