"""Requests with tensors (the open inference protocol): the start node gets them, each leaf is one output.  PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.tensors import Tensor, TensorHead, TensorJob
from stoker.core.workflows import Trace
from stoker.errors import NodeFailed
from stoker.tensors import replies
from stoker.tensors.datatypes import BYTES

_LENGTH_BYTES = 4


def plain_inputs(inputs: Sequence[Input], job: TensorJob) -> Sequence[Input]:
    """Returns the start node's inputs: the client's document, or the data of each tensor by its name; of a single
    text, the text."""
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
    """Implements `core.workflows.Form`: what a worker would answer for a model with these outputs."""

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
