"""Makes the answer to a request of what its jobs were answered: rows joined, parts of one job joined. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.tensors import Parameters, Tensor, TensorSpec
from stoker.errors import HandlerRefused, InvalidOutput
from stoker.frontend.open_inference.checks import unknown_output
from stoker.frontend.open_inference.request import InferAnswer, InferRequest
from stoker.tensors import replies
from stoker.tensors.datatypes import BYTES
from stoker.tensors.replies import Answer

_NOT_PARAMETERS = frozenset({"content-type", "ts_stream_next"})


def read(chunk: Chunk, *, batched: bool = False) -> Answer:
    """Reads an answer, or a part of one. Headers that the handler set become parameters, an error status the error.
    ``batched``: it is that of a batch of one row.

    Raises:
        HandlerRefused, InvalidOutput
    """
    if chunk.meta is not None and chunk.meta.status >= 400:
        raise HandlerRefused(chunk.meta.reason or "Prediction failed", chunk.meta.status)
    try:
        answer = replies.decode(chunk.data, batched=batched)
    except ValueError:
        raise InvalidOutput("Invalid model predict output") from None
    if chunk.meta is None:
        return answer
    return answer._replace(parameters={**answer.parameters, **_parameters(chunk.meta)}, head=b"")


def _parameters(meta: ResponseMeta) -> Parameters:
    return {name: value for name, value in meta.headers.items() if name.lower() not in _NOT_PARAMETERS}


def whole(chunks: Sequence[Chunk], *, batched: bool = False) -> Answer:
    """Joins the parts of a handler that streams: texts one after the other.

    Raises:
        InvalidOutput: the parts are other tensors.
    """
    if len(chunks) == 1:
        return read(chunks[0], batched=batched)
    parts = [read(chunk, batched=batched) for chunk in chunks]
    last = parts[-1]
    if any(list(map(_kind, part.outputs)) != list(map(_kind, last.outputs)) for part in parts):
        raise InvalidOutput("The handler sends parts that cannot be joined; use ModelStreamInfer.")
    outputs = [_concatenated([part.outputs[number] for part in parts]) for number in range(len(last.outputs))]
    return last._replace(outputs=outputs, head=b"")


def _kind(tensor: Tensor) -> tuple[str, str, int]:
    return tensor.name, tensor.datatype, _elements(tensor)


def _elements(tensor: Tensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count


def _concatenated(tensors: Sequence[Tensor]) -> Tensor:
    last = tensors[-1]
    if last.datatype != BYTES or _elements(last) != 1:
        raise InvalidOutput("The handler sends parts that are no text; use ModelStreamInfer.")
    text = b"".join([memoryview(tensor.data)[4:] for tensor in tensors])
    return last._replace(data=len(text).to_bytes(4, "little") + text)


def rows(answers: Sequence[Answer]) -> Answer:
    """Adds the batch dimension to the tensors of the rows.

    Raises:
        InvalidOutput: rows differ in names, datatypes or shapes.
    """
    first, count = answers[0], len(answers)
    heads = [(tensor.name, tensor.datatype, tensor.shape) for tensor in first.outputs]
    for answer in answers:
        if [(tensor.name, tensor.datatype, tensor.shape) for tensor in answer.outputs] != heads:
            raise InvalidOutput("The rows of the batch have outputs of different names, datatypes or shapes.")
    outputs = [
        Tensor(name, datatype, [count, *shape], b"".join([answer.outputs[number].data for answer in answers]))
        for number, (name, datatype, shape) in enumerate(heads)
    ]
    parameters = _merged(answer.parameters for answer in answers)
    return first._replace(outputs=outputs, parameters=parameters, head=b"")


def _merged(parameters: Iterable[Parameters]) -> Parameters:
    found: dict[str, object] = {}
    for each in parameters:
        found |= each
    return found


def no_rows(specs: Sequence[TensorSpec]) -> Answer:
    """Returns the answer to a batch of no rows, which no handler sees."""
    known = specs or (TensorSpec("output", "FP32", (-1,)),)
    return Answer([Tensor(name, kind, [0, *(max(0, size) for size in shape[1:])], b"") for name, kind, shape in known])


def finished(answer: Answer, request: InferRequest, spec: ModelSpec) -> InferAnswer:
    """Adds what the handler did not say, and picks the outputs that the client wants.

    Raises:
        BadRequest: there is no such output.
    """
    outputs, id, model, version, parameters, head = answer
    if request.outputs:
        named: Mapping[str, Tensor] = {tensor.name: tensor for tensor in outputs}
        for name, _ in request.outputs:
            if name not in named:
                raise unknown_output(name)
        outputs, head = [named[name] for name, _ in request.outputs], b""
    key = spec.key
    return InferAnswer(model or key.name, version or key.version, id or request.id, outputs, parameters, head)
