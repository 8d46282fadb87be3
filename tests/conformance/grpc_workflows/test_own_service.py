"""The service of workflows' own: outputs of nodes apart, traces, named nodes."""

from __future__ import annotations

import grpc
import pytest
from grpc_workflow_kit import CODE, INTERNAL_CLASS, Client, question, refusal
from workflow_fakes import WorkflowRig

from stoker import errors as e
from stoker.core.reply import Chunk
from stoker.protos import workflow_pb2 as pb


async def test_outputs_of_nodes_stay_apart_and_each_has_its_trace(rig: WorkflowRig, client: Client) -> None:
    await rig.register("diamond.war")
    for name in ("pre", "m1", "m2", "post"):
        rig.node(f"diamond__{name}").answer = name.encode()
    answer = await client.asked.Predict(question("diamond"))

    assert dict(answer.outputs) == {"post": b"post"}
    assert {name: trace.attempts for name, trace in answer.trace.items()} == dict.fromkeys(
        ("pre", "m1", "m2", "post"), 1
    )


async def test_named_nodes_are_answered_and_others_run_only_for_them(rig: WorkflowRig, client: Client) -> None:
    await rig.register("diamond.war")
    for name in ("pre", "m1", "m2", "post"):
        rig.node(f"diamond__{name}").answer = name.encode()
    answer = await client.asked.Predict(question("diamond", nodes=["m1", "pre", "m1"]))

    assert dict(answer.outputs) == {"pre": b"pre", "m1": b"m1"}
    assert rig.node("diamond__m2").jobs == []


async def test_parts_name_their_node_and_the_last_one_says_so(rig: WorkflowRig, client: Client) -> None:
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9999}, "dag": {"a": ["b", "c"]}}
    await rig.register("fork.war")
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
    await rig.register()
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
    await rig.register()
    call = getattr(client.asked, method)(asked)

    assert (await refusal(call if method == "Predict" else call.read()))[:2] == (code, first)


async def test_bytes_that_are_no_message_are_the_clients_mistake(client: Client) -> None:
    for service, method in (
        ("WorkflowAPIsService", "RegisterWorkflow"),
        ("WorkflowInferenceAPIsService", "Predict"),
    ):
        call = client.channel.unary_unary(f"/org.pytorch.serve.grpc.workflow.{service}/{method}")
        assert (await refusal(call(b"\xff\xff")))[0] == CODE.INVALID_ARGUMENT
