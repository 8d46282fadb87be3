"""Requests and answers of the open inference protocol for tests without workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grpc_fakes import Submission

from stoker.core.buffer import Buffer
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.tensors import Tensor, TensorInterface, TensorSpec
from stoker.protos import grpc_predict_v2_pb2 as pb
from stoker.tensors import elements, replies
from stoker.tensors.datatypes import DATATYPES
from stoker.tensors.replies import Answer, ReplyHead

ROWS = TensorInterface(rows=True)
CONFIGURED = TensorInterface(
    rows=True,
    platform="onnx",
    inputs=(TensorSpec("a", "INT32", (-1, 2)), TensorSpec("b", "BYTES", (-1,))),
    outputs=(TensorSpec("total", "INT64", (-1,)), TensorSpec("label", "BYTES", (-1,))),
)


def raw(datatype: str, *values: Any) -> bytes:
    return elements.raw_of(DATATYPES[datatype], values)


def answer(*tensors: Tensor, **fields: Any) -> bytes:
    return replies.encode(Answer(tensors, **fields))


def arrived(sent: Buffer) -> tuple[ReplyHead, list[Tensor]]:
    """Reads a worker's answer."""
    encoded, rest = replies.split(sent)
    head = replies.read_head(encoded)
    contents = replies.contents(rest, len(head.outputs))
    return head, [
        Tensor(name, kind, list(shape), bytes(data), parameters or {}, text)
        for (name, kind, shape, parameters, text), data in zip(head.outputs, contents, strict=True)
    ]


def answering(*tensors: Tensor, meta: ResponseMeta | None = None, **fields: Any) -> Callable[[Submission], None]:
    return lambda submission: submission.reply.push(Chunk(answer(*tensors, **fields), meta), last=True)


def echo(submission: Submission) -> None:
    """Answers with the inputs as outputs of the same names."""
    job = submission.tensors
    assert job is not None
    heads = zip(submission.inputs.items(), job.tensors, strict=True)
    outputs = [Tensor(name, head.datatype, head.shape, data) for (name, data), head in heads]
    submission.answer(answer(*outputs))


def raw_request(model: str = "m", **fields: Any) -> Any:
    """A request with one input ``x`` of two FP32."""
    request = pb.ModelInferRequest(model_name=model, **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(raw("FP32", 1.0, 2.0))
    return request


def typed_request(datatype: str, shape: list[int], values: list[Any], name: str = "x", model: str = "m") -> Any:
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    getattr(tensor.contents, DATATYPES[datatype].contents).extend(values)
    return request
