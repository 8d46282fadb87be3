"""Workflows are registered, described, listed and unregistered, or refused with the reason."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
from grpc_workflow_kit import CODE, DAG_CLASS, HTTP, WORKFLOW, Client, prediction, question, refusal, serving
from workflow_fakes import WorkflowRig

from stoker.protos import management_pb2
from stoker.protos import workflow_pb2 as pb


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
    await rig.register()
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
    await rig.register()
    async with serving(rig, engine, enabled=False) as client:
        for call in (
            client.workflows.RegisterWorkflow(pb.RegisterWorkflowRequest(url="two.war", workflow_name="b")),
            client.workflows.UnregisterWorkflow(pb.UnregisterWorkflowRequest(workflow_name="two")),
        ):
            assert (await refusal(call))[:2] == (CODE.PERMISSION_DENIED, "Model API disabled")
        await client.workflows.DescribeWorkflow(pb.DescribeWorkflowRequest(workflow_name="two"))


async def test_pages_are_those_of_rest(rig: WorkflowRig, client: Client) -> None:
    for name in "cab":
        await rig.register(workflow_name=name)
    page = json.loads((await client.workflows.ListWorkflows(pb.ListWorkflowsRequest(limit=2, next_page_token=1))).msg)

    assert page == {
        "nextPageToken": "3",
        "workflows": [{"workflowName": name, "workflowUrl": "two.war"} for name in "bc"],
    }


async def test_a_node_is_not_unregistered_through_the_models_service(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
    call = client.management.UnregisterModel(management_pb2.UnregisterModelRequest(model_name="two__pre"))

    assert (await refusal(call))[0] == CODE.FAILED_PRECONDITION


async def test_a_workflow_is_no_model_to_describe(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
    call = client.management.DescribeModel(management_pb2.DescribeModelRequest(model_name="two"))

    assert (await refusal(call))[:2] == (CODE.NOT_FOUND, "Model not found: two")


async def test_tokens_are_asked_for_as_for_models(rig: WorkflowRig, engine: str) -> None:
    await rig.register()
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
