"""A listener with every gRPC service that knows workflows, and a client of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_fakes import LIMIT, UNLIMITED
from grpc_health.v1 import health_pb2_grpc
from http_fakes import FakeAuthorizer
from workflow_fakes import WorkflowRig

from stoker.core.ports import TokenScope
from stoker.frontend.grpc.authorization import guarded
from stoker.frontend.grpc.health import health_methods
from stoker.frontend.grpc.inference import inference_methods
from stoker.frontend.grpc.management import management_methods
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.grpc.workflows import workflow_inference_methods, workflow_management_methods
from stoker.protos import (
    InferenceAPIsServiceStub,
    ManagementAPIsServiceStub,
    WorkflowAPIsServiceStub,
    WorkflowInferenceAPIsServiceStub,
    inference_pb2,
)
from stoker.protos import workflow_pb2 as pb

CODE = grpc.StatusCode
WORKFLOW = "org.pytorch.serve.archive.workflow."
HTTP = "org.pytorch.serve.http."
INTERNAL_CLASS = f"{HTTP}InternalServerException"
DAG_CLASS = "org.pytorch.serve.ensemble.InvalidDAGException"


class Client:
    """Stubs of every service that knows workflows, over one listener that has them all."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.workflows = WorkflowAPIsServiceStub(channel)
        self.asked = WorkflowInferenceAPIsServiceStub(channel)
        self.inference = InferenceAPIsServiceStub(channel)
        self.management = ManagementAPIsServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


@asynccontextmanager
async def serving(
    rig: WorkflowRig, engine: str, *, enabled: bool = True, token: str | None = None
) -> AsyncIterator[Client]:
    authorizer = FakeAuthorizer(token)
    inference = [*inference_methods(rig.registry), *workflow_inference_methods(rig.workflows)]
    management = [
        *management_methods(rig.registry, model_api_enabled=enabled),
        *workflow_management_methods(rig.workflows, enabled=enabled),
    ]
    methods = [
        *guarded(inference, authorizer, TokenScope.INFERENCE),
        *guarded(management, authorizer, TokenScope.MANAGEMENT),
        *health_methods(rig.registry),
    ]
    server = GrpcServer(host="127.0.0.1", port=0, engine=engine, methods=methods, max_message_bytes=LIMIT)
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=UNLIMITED) as channel:
        yield Client(channel)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Returns code, first line and second line of what a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    first, _, second = (failed.value.details() or "").partition("\n")
    return failed.value.code(), first, second


async def description(client: Client, name: str) -> Any:
    answer = await client.workflows.DescribeWorkflow(pb.DescribeWorkflowRequest(workflow_name=name))
    (described,) = json.loads(answer.msg)
    return described


def prediction(name: str, **values: Any) -> inference_pb2.PredictionsRequest:
    return inference_pb2.PredictionsRequest(model_name=name, input={"data": b"x"}, **values)


def question(name: str = "two", **values: Any) -> pb.WorkflowPredictRequest:
    return pb.WorkflowPredictRequest(workflow_name=name, input={"data": b"x"}, **values)
