from __future__ import annotations

from collections.abc import Sequence

import pytest
from workflow_fakes import WorkflowRig

from stoker import errors
from stoker.core.tensors import NamedHead, Parameters, Tensor
from stoker.frontend.open_inference.request import InferAnswer, InferRequest, RequestHead
from stoker.frontend.open_inference.service import OpenInference


class Receiver:
    """Keeps what a client of the open inference protocol would get."""

    writable = True

    def __init__(self) -> None:
        self.answers: list[InferAnswer] = []
        self.error: Exception | None = None

    def answered(self, answer: InferAnswer, *, last: bool) -> None:
        assert last
        self.answers.append(answer)

    def failed(self, error: Exception) -> None:
        self.error = error


async def infer(rig: WorkflowRig, request: InferRequest, *, streaming: bool = False) -> Receiver:
    receiver = Receiver()
    service = OpenInference(rig.registry, rig.registry, max_response_bytes=1 << 20)
    service.start(request, receiver, headers=None, deadline=None, request_id="id", streaming=streaming)
    return receiver


def request(
    *tensors: Tensor,
    name: str = "fork",
    version: str = "",
    id: str = "",
    outputs: Sequence[tuple[str, Parameters]] = (),
) -> InferRequest:
    inputs = [NamedHead(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors]
    return InferRequest(RequestHead(name, version, inputs, outputs), id, [tensor.data for tensor in tensors])


def text(name: str, value: bytes) -> Tensor:
    return Tensor(name, "BYTES", [1], len(value).to_bytes(4, "little") + value)


@pytest.fixture
async def rig() -> WorkflowRig:
    rig = WorkflowRig()
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["b", "c"]}}
    await rig.register("fork.war")
    rig.node("fork__b").answer, rig.node("fork__c").answer = b"one", b"\xff"
    return rig


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["fork", "workflow:fork"])
async def test_each_leaf_is_an_output_of_bytes(rig: WorkflowRig, name: str, streaming: bool) -> None:
    receiver = await infer(rig, request(text("t", b"hello"), name=name, id="mine"), streaming=streaming)

    (answer,) = receiver.answers
    assert (answer.head.model, answer.id) == ("fork", "mine")
    assert [
        (each.name, each.datatype, bytes(data)) for each, data in zip(answer.head.outputs, answer.data, strict=True)
    ] == [
        ("b", "BYTES", b"\x03\0\0\0one"),
        ("c", "BYTES", b"\x01\0\0\0\xff"),
    ]


async def test_the_start_node_gets_the_data_of_each_tensor_and_of_one_text_the_text(rig: WorkflowRig) -> None:
    numbers = Tensor("n", "INT32", [2], b"\1\0\0\0\2\0\0\0")
    await infer(rig, request(text("t", b"hello"), numbers))

    (job,) = rig.node("fork__a").jobs
    assert [(each.name, bytes(each.value)) for each in job.inputs] == [("t", b"hello"), ("n", bytes(numbers.data))]
    assert not job.tensors


async def test_only_the_outputs_that_a_client_names_are_answered(rig: WorkflowRig) -> None:
    receiver = await infer(rig, request(text("t", b"x"), outputs=[("c", {})]))

    assert [each.name for each in receiver.answers[0].head.outputs] == ["c"]


async def test_a_failed_node_fails_the_request(rig: WorkflowRig) -> None:
    rig.node("fork__b").error = errors.HandlerRaised()
    receiver = await infer(rig, request(text("t", b"x")))

    assert isinstance(receiver.error, errors.NodeFailed)


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("fork", "1.0")])
async def test_what_there_is_not_is_not_found(rig: WorkflowRig, name: str, version: str) -> None:
    with pytest.raises(errors.ModelNotFound):
        await infer(rig, request(text("t", b"x"), name=name, version=version))
