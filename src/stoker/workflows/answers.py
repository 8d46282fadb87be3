"""Builds a workflow's answer in the form that its client expects.  PURE.

TorchServe's form: the bytes of the only leaf, or one JSON object of all leaves.  That of the open inference protocol:
the start node gets the request's tensors, and each leaf is one output tensor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.tensors import Tensor, TensorHead, TensorJob
from stoker.core.workflows import Trace
from stoker.errors import NodeFailed
from stoker.tensors import replies
from stoker.tensors.datatypes import BYTES


class PlainForm:
    """Implements `core.workflows.Form` for /wfpredict and Predictions."""

    __slots__ = ("streams",)
    traces = False

    def __init__(self, *, streams: bool = False) -> None:
        self.streams = streams

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        return data

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        return json_of(outputs)

    def failure(self, error: NodeFailed) -> Buffer | None:
        return None


WHOLE = PlainForm()
STREAMED = PlainForm(streams=True)


def json_of(outputs: Mapping[str, Buffer]) -> bytes:
    """Returns a JSON object with a member for each leaf: its JSON value, or its text as a string if it is not JSON."""
    members = ",".join(f"\n  {json.dumps(name)}: {_member(bytes(output))}" for name, output in outputs.items())
    return f"{{{members}\n}}\n".encode("utf-8", "replace")


def _member(output: bytes) -> str:
    try:
        text = _dumped(json.loads(output.decode("utf-8")))
    except (ValueError, RecursionError):
        text = _dumped(output.decode("utf-8", "replace"))
    return text.replace("\n", "\n  ")  # no string of JSON has a line break


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


_LENGTH_BYTES = 4


def plain_inputs(inputs: Sequence[Input], job: TensorJob) -> Sequence[Input]:
    """Returns the start node's inputs: the client's document, or the data of each tensor by its name, without
    the length prefix if the tensor is a single text."""
    if not job.tensors:
        return inputs
    return [
        Input(each.name, each.content_type, _data(head, each.value))
        for each, head in zip(inputs, job.tensors, strict=True)
    ]


def _data(head: TensorHead, data: Buffer) -> Buffer:
    single = head.datatype == BYTES and all(size == 1 for size in head.shape)
    return memoryview(data)[_LENGTH_BYTES:] if single else data


class TensorForm:
    """Implements `core.workflows.Form`: encodes what a worker would answer for a model with these outputs."""

    streams = False
    traces = False

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        raise AssertionError("nothing streams")

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        tensors = [
            Tensor(name, BYTES, [1], len(data).to_bytes(_LENGTH_BYTES, "little") + bytes(data))
            for name, data in outputs.items()
        ]
        return replies.encode(replies.Answer(tensors))

    def failure(self, error: NodeFailed) -> Buffer | None:
        return None


TENSORS = TensorForm()
