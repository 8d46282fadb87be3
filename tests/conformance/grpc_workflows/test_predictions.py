"""Workflows asked by the calls of models: the bytes that REST gives, errors that name the node."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_workflow_kit import CODE, INTERNAL_CLASS, Client, prediction, question, refusal
from waiting import until
from workflow_fakes import WorkflowRig

from stoker import errors as e
from stoker.core.ports import RegisterRequest
from stoker.core.reply import Chunk
from stoker.protos import inference_pb2


async def test_predictions_by_a_workflows_name_give_the_bytes_of_wfpredict(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
    rig.node("two__post").answer = b"\x00 bytes"

    assert (await client.inference.Predictions(prediction("two"))).prediction == b"\x00 bytes"
    (job,) = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in job.inputs] == [("data", b"x")]


async def test_a_model_comes_first_and_the_prefix_means_the_workflow(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
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
    await rig.register()
    assert (await refusal(client.inference.Predictions(asked)))[:2] == (CODE.NOT_FOUND, first)


async def test_a_stream_has_the_parts_of_the_leaf_as_they_come(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
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
    await rig.register("fork.war")
    parts = [part.prediction async for part in client.inference.StreamPredictions(prediction("fork"))]

    assert parts == [b'{\n  "b": "answer",\n  "c": "answer"\n}\n']


async def test_messages_of_a_bidirectional_call_are_answered_one_by_one(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
    asked = [prediction("two", sequence_id="a"), prediction("other"), prediction("two", sequence_id="a")]
    answers = [answer async for answer in client.inference.StreamPredictions2(iter(asked))]

    good = [(each.prediction, each.sequence_id) for each in answers if not each.HasField("status")]
    assert good == [(b"answer", "a"), (b"answer", "a")]
    assert [each.status.message for each in answers if each.HasField("status")] == ["Model not found: other"]


async def test_metadata_and_deadline_reach_every_node(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
    await client.inference.Predictions(prediction("two"), metadata=(("x-mine", "1"),), timeout=3600)

    for node in ("two__pre", "two__post"):
        (job,) = rig.node(node).jobs
        assert job.headers == {"x-mine": "1"}
        assert job.deadline is not None


async def test_a_client_that_cancels_ends_the_request(rig: WorkflowRig, client: Client) -> None:
    await rig.register()
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
    await rig.register("w.war")
    rig.node("w__b").error = error
    expected = (code, f"Error executing b: {cause}", INTERNAL_CLASS)

    assert await refusal(client.inference.Predictions(prediction("w"))) == expected
    assert await refusal(client.asked.Predict(question("w"))) == expected
