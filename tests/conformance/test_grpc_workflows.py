"""Workflows over gRPC on both engines, with a registry behind it whose workers are fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_fakes import LIMIT, UNLIMITED, until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from http_fakes import FakeAuthorizer
from workflow_fakes import WorkflowRig

from stoker import errors as e
from stoker.core.ports import RegisterRequest, ScaleRequest, TokenScope
from stoker.core.reply import Chunk
from stoker.core.workflows import RegisterWorkflowRequest
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
    management_pb2,
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
        self.health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]


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


@pytest.fixture
async def rig() -> WorkflowRig:
    return WorkflowRig()


@pytest.fixture
async def client(rig: WorkflowRig, engine: str) -> AsyncIterator[Client]:
    async with serving(rig, engine) as it:
        yield it


async def register(rig: WorkflowRig, url: str = "two.war", **values: Any) -> None:
    await rig.workflows.register_workflow(RegisterWorkflowRequest(url=url, **values))


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


# ---------------------------------------------------------------------------------------------- management


async def test_a_workflow_is_registered_described_listed_and_unregistered(rig: WorkflowRig, client: Client) -> None:
    told = await client.workflows.RegisterWorkflow(pb.RegisterWorkflowRequest(url="diamond.war"))
    assert told.msg == "Workflow diamond has been registered and scaled successfully."

    described = json.loads(
        (await client.workflows.DescribeWorkflow(pb.DescribeWorkflowRequest(workflow_name="diamond"))).msg
    )
    assert described[0]["workflowDag"] == "{pre=[m1, m2], m1=[post], m2=[post]}"
    assert described[0]["nodes"][2] == {
        "name": "m2",
        "kind": "model",
        "modelName": "diamond__m2",
        "url": "b.mar",
        "workers": 3,
        "ready": True,
    }

    listed = json.loads((await client.workflows.ListWorkflows(pb.ListWorkflowsRequest())).msg)
    assert listed == {"workflows": [{"workflowName": "diamond", "workflowUrl": "diamond.war"}]}

    told = await client.workflows.UnregisterWorkflow(pb.UnregisterWorkflowRequest(workflow_name="diamond"))
    assert told.msg == 'Workflow "diamond" unregistered'
    assert rig.models() == set()


async def test_what_a_registration_says_reaches_every_node(rig: WorkflowRig, client: Client) -> None:
    asked = pb.RegisterWorkflowRequest(url="two.war", workflow_name="mine", response_timeout=7, startup_timeout=8)
    await client.workflows.RegisterWorkflow(asked)

    spec = rig.node("mine__pre").spec
    assert (spec.response_timeout_s, spec.startup_timeout_s) == (7, 8)


async def test_a_registration_that_does_not_wait_says_so_before_the_workers_are_there(
    rig: WorkflowRig, client: Client
) -> None:
    rig.world.gate = asyncio.Event()
    await client.workflows.RegisterWorkflow(pb.RegisterWorkflowRequest(url="two.war", synchronous=False))
    (described,) = json.loads(
        (await client.workflows.DescribeWorkflow(pb.DescribeWorkflowRequest(workflow_name="two"))).msg
    )

    assert [node["ready"] for node in described["nodes"]] == [False, False]
    rig.world.gate.set()


BAD: dict[str, Any] = {
    "cycle.war": {"models": {"timeout-ms": 1}, "dag": {"a": ["b"], "b": ["c"], "c": ["b"]}},
    "no-dag.war": {"models": {"timeout-ms": 1}},
    "lost.war": {"models": {"m": {"url": "missing.mar"}}, "dag": {"m": []}},
}
REGISTRATIONS: list[tuple[dict[str, str], grpc.StatusCode, str, str]] = [
    ({}, CODE.INVALID_ARGUMENT, "Parameter url is required.", f"{HTTP}BadRequestException"),
    (
        {"url": "other.war"},
        CODE.NOT_FOUND,
        "Workflow not found at: other.war",
        f"{WORKFLOW}WorkflowNotFoundException",
    ),
    (
        {"url": "taken.war", "workflow_name": "two"},
        CODE.ALREADY_EXISTS,
        "Workflow two is already registered.",
        f"{HTTP}ConflictStatusException",
    ),
    ({"url": "cycle.war"}, CODE.INVALID_ARGUMENT, "Not a valid DAG", DAG_CLASS),
    (
        {"url": "no-dag.war"},
        CODE.INVALID_ARGUMENT,
        "Invalid workflow specification: dag is missing or empty",
        f"{WORKFLOW}InvalidWorkflowException",
    ),
    (
        {"url": "two.war", "workflow_name": "a b"},
        CODE.INVALID_ARGUMENT,
        "Workflow name contains special characters: a b",
        f"{WORKFLOW}InvalidWorkflowException",
    ),
    (
        {"url": "lost.war"},
        CODE.INTERNAL,
        "Workflow lost has failed to register. Failures: "
        "[Workflow Node lost__m failed to register. Details: Model not found at: missing.mar]",
        f"{WORKFLOW}WorkflowException",
    ),
]


@pytest.mark.parametrize(("asked", "code", "first", "second"), REGISTRATIONS)
async def test_a_registration_that_is_refused_says_why(
    rig: WorkflowRig, client: Client, asked: dict[str, str], code: grpc.StatusCode, first: str, second: str
) -> None:
    await register(rig)
    rig.store.archives.update({**BAD, "taken.war": rig.store.archives["two.war"]})

    assert await refusal(client.workflows.RegisterWorkflow(pb.RegisterWorkflowRequest(**asked))) == (
        code,
        first,
        second,
    )
    assert rig.models() == {"two__pre", "two__post"}


@pytest.mark.parametrize("method", ["UnregisterWorkflow", "DescribeWorkflow"])
async def test_a_name_must_be_given_and_known(client: Client, method: str) -> None:
    call, kind = getattr(client.workflows, method), getattr(pb, f"{method}Request")

    assert (await refusal(call(kind())))[:2] == (CODE.INVALID_ARGUMENT, "Parameter workflow_name is required.")
    assert await refusal(call(kind(workflow_name="other"))) == (
        CODE.NOT_FOUND,
        "Workflow not found: other",
        f"{WORKFLOW}WorkflowNotFoundException",
    )


async def test_without_the_model_api_nothing_is_registered_or_unregistered(rig: WorkflowRig, engine: str) -> None:
    await register(rig)
    async with serving(rig, engine, enabled=False) as client:
        for call in (
            client.workflows.RegisterWorkflow(pb.RegisterWorkflowRequest(url="two.war", workflow_name="b")),
            client.workflows.UnregisterWorkflow(pb.UnregisterWorkflowRequest(workflow_name="two")),
        ):
            assert (await refusal(call))[:2] == (CODE.PERMISSION_DENIED, "Model API disabled")
        await client.workflows.DescribeWorkflow(pb.DescribeWorkflowRequest(workflow_name="two"))


async def test_pages_are_those_of_rest(rig: WorkflowRig, client: Client) -> None:
    for name in "cab":
        await register(rig, workflow_name=name)
    page = json.loads((await client.workflows.ListWorkflows(pb.ListWorkflowsRequest(limit=2, next_page_token=1))).msg)

    assert page == {
        "nextPageToken": "3",
        "workflows": [{"workflowName": name, "workflowUrl": "two.war"} for name in "bc"],
    }


async def test_a_node_is_not_unregistered_through_the_models_service(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    call = client.management.UnregisterModel(management_pb2.UnregisterModelRequest(model_name="two__pre"))

    assert (await refusal(call))[0] == CODE.FAILED_PRECONDITION


async def test_a_workflow_is_no_model_to_describe(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    call = client.management.DescribeModel(management_pb2.DescribeModelRequest(model_name="two"))

    assert (await refusal(call))[:2] == (CODE.NOT_FOUND, "Model not found: two")


async def test_tokens_are_asked_for_as_for_models(rig: WorkflowRig, engine: str) -> None:
    await register(rig)
    async with serving(rig, engine, token="the-token") as client:
        for call in (
            client.workflows.ListWorkflows(pb.ListWorkflowsRequest()),
            client.asked.Predict(question()),
            client.inference.Predictions(prediction("two")),
        ):
            assert (await refusal(call))[0] == CODE.PERMISSION_DENIED
        metadata = (("authorization", "Bearer the-token"),)
        await client.asked.Predict(question(), metadata=metadata)
        await client.workflows.ListWorkflows(pb.ListWorkflowsRequest(), metadata=metadata)


# ---------------------------------------------------------------------------------------------- plain stubs


async def test_predictions_by_a_workflows_name_give_the_bytes_of_wfpredict(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    rig.node("two__post").answer = b"\x00 bytes"

    assert (await client.inference.Predictions(prediction("two"))).prediction == b"\x00 bytes"
    (job,) = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in job.inputs] == [("data", b"x")]


async def test_a_model_comes_first_and_the_prefix_means_the_workflow(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    await rig.registry.register(RegisterRequest(url="two@1.0", initial_workers=1, synchronous=True))
    rig.node("two").answer, rig.node("two__post").answer = b"model", b"workflow"

    assert (await client.inference.Predictions(prediction("two"))).prediction == b"model"
    assert (await client.inference.Predictions(prediction("workflow:two"))).prediction == b"workflow"


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        (prediction("other"), "Model not found: other"),
        (prediction("two", model_version="1.0"), "Model not found: two"),
        (prediction("workflow:other"), "Workflow not found: other"),
    ],
)
async def test_what_there_is_not_is_not_found(
    rig: WorkflowRig, client: Client, asked: inference_pb2.PredictionsRequest, first: str
) -> None:
    await register(rig)
    assert (await refusal(client.inference.Predictions(asked)))[:2] == (CODE.NOT_FOUND, first)


async def test_a_stream_has_the_parts_of_the_leaf_as_they_come(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    leaf = rig.node("two__post")
    leaf.held = True
    call = client.inference.StreamPredictions(prediction("two"))
    reading = asyncio.ensure_future(call.read())
    await until(lambda: bool(leaf.jobs))
    assert leaf.jobs[0].streaming
    leaf.jobs[0].reply.push_parts([Chunk(b"one")], 3)
    assert (await reading).prediction == b"one"
    leaf.jobs[0].reply.push(Chunk(b"end"), last=True)

    assert (await call.read()).prediction == b"end"
    assert await call.read() is grpc.aio.EOF


async def test_several_leaves_are_one_message_of_a_stream(rig: WorkflowRig, client: Client) -> None:
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["b", "c"]}}
    await register(rig, "fork.war")
    parts = [part.prediction async for part in client.inference.StreamPredictions(prediction("fork"))]

    assert parts == [b'{\n  "b": "answer",\n  "c": "answer"\n}\n']


async def test_messages_of_a_bidirectional_call_are_answered_one_by_one(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    asked = [prediction("two", sequence_id="a"), prediction("other"), prediction("two", sequence_id="a")]
    answers = [answer async for answer in client.inference.StreamPredictions2(iter(asked))]

    good = [(each.prediction, each.sequence_id) for each in answers if not each.HasField("status")]
    assert good == [(b"answer", "a"), (b"answer", "a")]
    assert [each.status.message for each in answers if each.HasField("status")] == ["Model not found: other"]


async def test_metadata_and_deadline_reach_every_node(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    await client.inference.Predictions(prediction("two"), metadata=(("x-mine", "1"),), timeout=3600)

    for node in ("two__pre", "two__post"):
        (job,) = rig.node(node).jobs
        assert job.headers == {"x-mine": "1"}
        assert job.deadline is not None


async def test_a_client_that_cancels_ends_the_request(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    leaf = rig.node("two__post")
    leaf.held = True
    call = client.inference.Predictions(prediction("two"))
    asked = asyncio.ensure_future(_outcome(call))
    await until(lambda: bool(leaf.jobs))
    call.cancel()
    await asked

    await asyncio.wait_for(rig.workflows.drain(20), 20)


async def _outcome(call: Any) -> None:
    with pytest.raises(asyncio.CancelledError):
        await call


FAILURES: list[tuple[e.ServingError, grpc.StatusCode, str]] = [
    (e.HandlerRaised(), CODE.INTERNAL, "Prediction failed"),
    (e.HandlerRefused("bad picture", 404), CODE.NOT_FOUND, "bad picture"),
    (e.NoWorkers("m"), CODE.UNAVAILABLE, e.NoWorkers("m").message),
    (e.QueueFull("m"), CODE.RESOURCE_EXHAUSTED, e.QueueFull("m").message),
    (e.WorkerOutOfMemory("too large"), CODE.RESOURCE_EXHAUSTED, "Worker died. Cause: too large"),
]
AGAIN: list[tuple[e.ServingError, grpc.StatusCode, str]] = [
    (e.DeadlineExceeded(), CODE.DEADLINE_EXCEEDED, "The node did not answer within its timeout-ms, 9."),
    (e.WorkerDied("killed"), CODE.UNAVAILABLE, "Worker died. Cause: killed"),
]


@pytest.mark.parametrize(("error", "code", "cause"), [*FAILURES, *AGAIN], ids=lambda value: type(value).__name__)
async def test_a_node_that_fails_is_named_with_its_own_code(
    rig: WorkflowRig, client: Client, error: e.ServingError, code: grpc.StatusCode, cause: str
) -> None:
    rig.store.archives["w.war"] = {"models": {"retry-attempts": 0, "timeout-ms": 9}, "dag": {"a": ["b"]}}
    await register(rig, "w.war")
    rig.node("w__b").error = error
    expected = (code, f"Error executing b: {cause}", INTERNAL_CLASS)

    assert await refusal(client.inference.Predictions(prediction("w"))) == expected
    assert await refusal(client.asked.Predict(question("w"))) == expected


# ---------------------------------------------------------------------------------------------- its own service


async def test_outputs_of_nodes_stay_apart_and_each_has_its_trace(rig: WorkflowRig, client: Client) -> None:
    await register(rig, "diamond.war")
    for name in ("pre", "m1", "m2", "post"):
        rig.node(f"diamond__{name}").answer = name.encode()
    answer = await client.asked.Predict(question("diamond"))

    assert dict(answer.outputs) == {"post": b"post"}
    assert {name: trace.attempts for name, trace in answer.trace.items()} == dict.fromkeys(
        ("pre", "m1", "m2", "post"), 1
    )


async def test_named_nodes_are_answered_and_others_run_only_for_them(rig: WorkflowRig, client: Client) -> None:
    await register(rig, "diamond.war")
    for name in ("pre", "m1", "m2", "post"):
        rig.node(f"diamond__{name}").answer = name.encode()
    answer = await client.asked.Predict(question("diamond", nodes=["m1", "pre", "m1"]))

    assert dict(answer.outputs) == {"pre": b"pre", "m1": b"m1"}
    assert rig.node("diamond__m2").jobs == []


async def test_parts_name_their_node_and_the_last_one_says_so(rig: WorkflowRig, client: Client) -> None:
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9999}, "dag": {"a": ["b", "c"]}}
    await register(rig, "fork.war")
    leaf = rig.node("fork__b")
    leaf.held = True
    call = client.asked.StreamPredict(question("fork", nodes=["a", "b", "c"]))
    first = [await call.read(), await call.read()]
    leaf.jobs[0].reply.push_parts([Chunk(b"one")], 3)
    second = await call.read()
    leaf.jobs[0].reply.push(Chunk(b"end"), last=True)
    third = await call.read()
    assert await call.read() is grpc.aio.EOF

    parts = [(part.node, part.data, part.last) for part in (*first, second, third)]
    assert parts == [("a", b"answer", True), ("c", b"answer", True), ("b", b"one", False), ("b", b"end", True)]


async def test_a_stream_says_which_node_failed_before_it_fails(rig: WorkflowRig, client: Client) -> None:
    await register(rig)
    rig.node("two__post").error = e.HandlerRaised()
    call = client.asked.StreamPredict(question())
    part = await call.read()

    assert (part.node, part.last, part.status.code) == ("post", True, 13)
    assert part.status.message == "Error executing post: Prediction failed"
    assert await refusal(call.read()) == (CODE.INTERNAL, "Error executing post: Prediction failed", INTERNAL_CLASS)


@pytest.mark.parametrize("method", ["Predict", "StreamPredict"])
@pytest.mark.parametrize(
    ("asked", "code", "first"),
    [
        (question("other"), CODE.NOT_FOUND, "Workflow not found: other"),
        (question(""), CODE.INVALID_ARGUMENT, "Parameter workflow_name is required."),
        (question(nodes=["other"]), CODE.INVALID_ARGUMENT, "Workflow two has no node other."),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    rig: WorkflowRig,
    client: Client,
    method: str,
    asked: pb.WorkflowPredictRequest,
    code: grpc.StatusCode,
    first: str,
) -> None:
    await register(rig)
    call = getattr(client.asked, method)(asked)

    assert (await refusal(call if method == "Predict" else call.read()))[:2] == (code, first)


async def test_bytes_that_are_no_message_are_the_clients_mistake(client: Client) -> None:
    for service, method in (
        ("WorkflowAPIsService", "RegisterWorkflow"),
        ("WorkflowInferenceAPIsService", "Predict"),
    ):
        call = client.channel.unary_unary(f"/org.pytorch.serve.grpc.workflow.{service}/{method}")
        assert (await refusal(call(b"\xff\xff")))[0] == CODE.INVALID_ARGUMENT


# ---------------------------------------------------------------------------------------------- health, reflection


async def test_a_workflow_is_serving_while_every_node_is(rig: WorkflowRig, client: Client) -> None:
    async def status(name: str) -> int:
        return (await client.health.Check(health_pb2.HealthCheckRequest(service=name))).status

    await register(rig)
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
    await register(rig)
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
