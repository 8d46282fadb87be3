"""What health probes and reflection say of workflows."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_workflow_kit import CODE, Client
from workflow_fakes import WorkflowRig

from stoker.core.ports import ScaleRequest


async def test_a_workflow_is_serving_while_every_node_is(rig: WorkflowRig, client: Client) -> None:
    async def status(name: str) -> int:
        return (await client.health.Check(health_pb2.HealthCheckRequest(service=name))).status

    await rig.register()
    assert await status("workflow:two") == health_pb2.HealthCheckResponse.SERVING
    assert await status("two__pre") == health_pb2.HealthCheckResponse.SERVING
    assert await status("org.pytorch.serve.grpc.workflow.WorkflowAPIsService") == 1
    await rig.registry.scale(ScaleRequest(model="two__post", min_workers=0))
    assert await status("workflow:two") == health_pb2.HealthCheckResponse.NOT_SERVING
    await rig.workflows.unregister_workflow("two")
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await status("workflow:two")
    assert unknown.value.code() == CODE.NOT_FOUND


async def test_a_watch_hears_of_a_workflow_that_comes_and_goes(rig: WorkflowRig, client: Client) -> None:
    watch = client.health.Watch(health_pb2.HealthCheckRequest(service="workflow:two"))
    seen = [(await watch.read()).status]
    await rig.register()
    seen.append((await watch.read()).status)
    await rig.workflows.unregister_workflow("two")
    seen.append((await watch.read()).status)
    watch.cancel()

    kinds = health_pb2.HealthCheckResponse
    assert seen == [kinds.SERVICE_UNKNOWN, kinds.SERVING, kinds.SERVICE_UNKNOWN]


async def test_reflection_describes_the_services(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)  # type: ignore[no-untyped-call]
    symbol = "org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService"
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol),
    ]
    services, files = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]

    names = {service.name for service in services.list_services_response.service}
    assert {symbol, "org.pytorch.serve.grpc.workflow.WorkflowAPIsService"} <= names
    described = [
        descriptor_pb2.FileDescriptorProto.FromString(file).name
        for file in files.file_descriptor_response.file_descriptor_proto
    ]
    assert "workflow.proto" in described
