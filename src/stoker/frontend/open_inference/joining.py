"""Makes the answer to a request from the answers to its jobs: joins rows, and the parts of one job. PURE."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stoker.core.buffer import Buffer
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.tensors import NONE, NamedHead, Parameters, TensorSpec
from stoker.errors import HandlerRefused, InvalidOutput
from stoker.frontend.open_inference.checks import unknown_output
from stoker.frontend.open_inference.plans import Plan
from stoker.frontend.open_inference.request import AnswerHead, InferAnswer, InferRequest
from stoker.tensors import elements, replies
from stoker.tensors.datatypes import BYTES

_NOT_PARAMETERS = frozenset({"content-type", "ts_stream_next"})
_MOST_KEPT, _LONGEST_KEPT = 64, 1024


def read(chunk: Chunk, request: InferRequest, plan: Plan) -> InferAnswer:
    """Reads an answer, or a part of one. Headers that the handler set become parameters.

    Raises: HandlerRefused: the handler set an error status; InvalidOutput; BadRequest: an output that the client wants
    does not exist
    """
    meta = chunk.meta
    if meta is not None and meta.status >= 400:
        raise HandlerRefused(meta.reason or "Prediction failed", meta.status)
    try:
        raw, rest = replies.split(chunk.data)
        head = plan.answers.get(raw) or _head(raw, plan)
        data: Sequence[Buffer] = replies.contents(rest, head.sent)
    except ValueError:
        raise InvalidOutput("Invalid model predict output") from None
    if head.picked is not None:
        data = [data[index] for index in head.picked]
    if meta is not None:
        head = head.with_parameters(_parameters(meta))
    return InferAnswer(head, head.id or request.id, data)


def _parameters(meta: ResponseMeta) -> Parameters:
    return {name: value for name, value in meta.headers.items() if name.lower() not in _NOT_PARAMETERS}


def _head(raw: bytes, plan: Plan) -> AnswerHead:
    """Decodes the head that the worker wrote, adds the batch dimension and what the handler left out, and picks the
    outputs that the client wants. Keeps the result for answers that differ only in data."""
    found, key = replies.read_head(raw), plan.spec.key
    outputs = found.outputs
    if plan.rows is not None:
        outputs = [output._replace(shape=[plan.rows, *output.shape]) for output in outputs]
    picked = None
    if plan.head.outputs:
        picked = _indices(outputs, [name for name, _ in plan.head.outputs])
    head = AnswerHead(
        found.model_name or key.name,
        found.model_version or key.version,
        outputs if picked is None else [outputs[index] for index in picked],
        found.parameters or NONE,
        id=found.id,
        sent=len(outputs),
        picked=picked,
    )
    if len(raw) <= _LONGEST_KEPT and not found.id:
        if len(plan.answers) >= _MOST_KEPT:
            plan.answers.clear()
        plan.answers[raw] = head
    return head


def _indices(outputs: Sequence[NamedHead], names: Sequence[str]) -> list[int]:
    """Returns where the named outputs are. Raises BadRequest: there is no such output."""
    known = {output.name: index for index, output in enumerate(outputs)}
    for name in names:
        if name not in known:
            raise unknown_output(name)
    return [known[name] for name in names]


def whole(chunks: Sequence[Chunk], request: InferRequest, plan: Plan) -> InferAnswer:
    """Joins the parts that a streaming handler sent, by concatenating their texts.

    Raises: InvalidOutput: the parts are not texts of the same outputs; and what `read` raises
    """
    if len(chunks) == 1:
        return read(chunks[0], request, plan)
    parts = [read(chunk, request, plan) for chunk in chunks]
    head, *others = [part.head for part in reversed(parts)]
    if any(list(map(_kind, other.outputs)) != list(map(_kind, head.outputs)) for other in others):
        raise InvalidOutput("The handler sends parts that cannot be joined; use ModelStreamInfer.")
    if any(_kind(output)[1:] != (BYTES, plan.rows or 1) for output in head.outputs):
        raise InvalidOutput("The handler sends parts that are not text; use ModelStreamInfer.")
    by_output = zip(*[part.data for part in parts], strict=True)
    texts = [elements.joined([b"".join([memoryview(data)[4:] for data in each])]) for each in by_output]
    return InferAnswer(head, parts[-1].id, texts)


def _kind(output: NamedHead) -> tuple[str, str, int]:
    return output.name, output.datatype, math.prod(output.shape)


def rows(answers: Sequence[InferAnswer]) -> InferAnswer:
    """Joins the answers to all rows of a request. Their heads already have the shapes of the whole batch (`read`).

    Raises: InvalidOutput: rows differ in names, datatypes or shapes
    """
    first, head = answers[0], answers[0].head
    outputs = list(map(_described, head.outputs))
    for other in [answer.head for answer in answers if answer.head is not head]:
        if list(map(_described, other.outputs)) != outputs:
            raise InvalidOutput("The rows of the batch have outputs of different names, datatypes or shapes.")
        head = head.with_parameters(other.parameters)
    data = [b"".join(each) for each in zip(*[answer.data for answer in answers], strict=True)]
    return InferAnswer(head, first.id, data)


def _described(output: NamedHead) -> tuple[str, str, Sequence[int]]:
    return output[:3]


def no_rows(request: InferRequest, plan: Plan) -> InferAnswer:
    """Returns the answer to a batch without rows, which no handler sees.

    Raises: BadRequest: an output that the client wants does not exist
    """
    known = plan.spec.tensors.outputs or (TensorSpec("output", "FP32", (-1,)),)
    outputs = [NamedHead(name, kind, [0, *(max(0, size) for size in shape[1:])]) for name, kind, shape in known]
    if request.head.outputs:
        outputs = [outputs[index] for index in _indices(outputs, [name for name, _ in request.head.outputs])]
    key = plan.spec.key
    return InferAnswer(AnswerHead(key.name, key.version, outputs), request.id, [b""] * len(outputs))
