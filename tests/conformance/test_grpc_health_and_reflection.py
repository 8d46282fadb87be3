"""grpc.health.v1 and server reflection, as probes and grpcurl use them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_fakes import Running
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from waiting import until

from stoker.core.ports import Health

STATUS = health_pb2.HealthCheckResponse
SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "org.pytorch.serve.grpc.inference.InferenceAPIsService",
    "org.pytorch.serve.grpc.management.ManagementAPIsService",
    "org.pytorch.serve.grpc.openinference.GRPCInferenceService",
]


def asking(name: str) -> Any:
    return health_pb2.HealthCheckRequest(service=name)


async def test_check_knows_the_server_its_services_models_and_versions(run: Running) -> None:
    stub = health_pb2_grpc.HealthStub(run.channel)
    run.ports.health.states.update({"m": Health.SERVING, "m/2.0": Health.NOT_SERVING})
    serving = ["", "grpc.health.v1.Health", *SERVICES[3:], "m"]
    assert [(await stub.Check(asking(name))).status for name in serving] == [STATUS.SERVING] * len(serving)
    assert (await stub.Check(asking("m/2.0"))).status == STATUS.NOT_SERVING
    run.ports.health.states[""] = Health.NOT_SERVING
    assert (await stub.Check(asking(SERVICES[3]))).status == STATUS.NOT_SERVING


async def test_an_unknown_name_is_not_found_for_check_and_service_unknown_for_watch(run: Running) -> None:
    stub = health_pb2_grpc.HealthStub(run.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(asking("nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(asking("nobody"))
    assert (await watch.read()).status == STATUS.SERVICE_UNKNOWN
    run.ports.health.change("nobody", Health.SERVING)
    assert (await watch.read()).status == STATUS.SERVING
    watch.cancel()


async def test_a_watch_tells_each_change_once_and_is_forgotten_with_its_client(run: Running) -> None:
    watch = health_pb2_grpc.HealthStub(run.channel).Watch(asking("m"))
    assert (await watch.read()).status == STATUS.SERVICE_UNKNOWN
    run.ports.health.change("other", Health.SERVING)
    run.ports.health.change("m", Health.NOT_SERVING)
    assert (await watch.read()).status == STATUS.NOT_SERVING
    run.ports.health.change("m", Health.SERVING)
    assert (await watch.read()).status == STATUS.SERVING
    watch.cancel()
    await until(lambda: not run.ports.health.listeners)
    assert run.server.open_calls == 0


async def test_a_thousand_changes_at_once_end_in_the_newest_state(run: Running) -> None:
    watch = health_pb2_grpc.HealthStub(run.channel).Watch(asking("m"))
    await watch.read()
    for number in range(1001):
        run.ports.health.change("m", Health.NOT_SERVING if number % 2 else Health.SERVING)
    run.ports.health.change("m", Health.UNKNOWN)
    seen = [(await watch.read()).status]
    while seen[-1] != STATUS.SERVICE_UNKNOWN:
        seen.append((await watch.read()).status)
    assert all(now != before for before, now in itertools.pairwise(seen)), "only changes are told"
    watch.cancel()


async def test_junk_is_an_invalid_argument(run: Running) -> None:
    for make in (run.channel.unary_unary("/grpc.health.v1.Health/Check"),):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await make(b"\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# ---------------------------------------------------------------------------------------------- reflection


async def reflected(run: Running, version: str, **question: Any) -> Any:
    async def questions() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(**question)

    call = run.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(questions())
    answer = await call.read()
    call.cancel()
    return answer


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
async def test_reflection_lists_every_service_of_the_port(run: Running, version: str) -> None:
    answer = await reflected(run, version, list_services="")
    assert [service.name for service in answer.list_services_response.service] == SERVICES


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
@pytest.mark.parametrize("service", SERVICES)
async def test_reflection_describes_every_service_that_it_lists(run: Running, version: str, service: str) -> None:
    answer = await reflected(run, version, file_containing_symbol=service)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    described = {f"{file.package}.{found.name}" for file in files for found in file.service}
    assert service in described
