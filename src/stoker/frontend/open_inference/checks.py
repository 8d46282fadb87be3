"""Checks a request before it is queued: that its tensors are consistent, and that the model takes them. PURE.

Any mistake raises BadRequest, with a sentence that names the tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.core.buffer import Buffer
from stoker.core.tensors import NamedHead, Parameters, TensorInterface, TensorSpec
from stoker.errors import BadRequest
from stoker.frontend.open_inference import controls
from stoker.frontend.open_inference.request import InferRequest
from stoker.frontend.request_limits import MOST_TEXTS, check_count, most
from stoker.tensors import elements
from stoker.tensors.datatypes import DATATYPES, Datatype

MOST_ROWS = 10_000
"""Rows of one request. Each becomes a job: without a limit, a few bytes per row could keep a model busy for minutes."""
_INTEGERS = range(-(2**63), 2**64)
"""Values that a parameter of protobuf can have: int64 and uint64."""


def check(request: InferRequest, interface: TensorInterface, *, open_shapes: bool = False) -> None:
    """Checks all of the request. ``open_shapes``: one size of each shape may be -1."""
    head, names = request.head, set()
    texts = 0
    limit = most(MOST_TEXTS, sum(map(len, request.data)))
    for tensor, data in zip(head.inputs, request.data, strict=True):
        if not tensor.name:
            raise BadRequest("An input has no name.")
        if tensor.name in names:
            raise BadRequest(f"Input '{tensor.name}' appears twice.")
        names.add(tensor.name)
        texts += _check_tensor(tensor, data, limit - texts, open_shapes=open_shapes)
        check_count(texts, limit, "elements of BYTES")
    if interface.inputs:
        _check_specs(head.inputs, names, interface.inputs)
    if head.parameters:
        _check_parameters(head.parameters)
        controls.check_kinds(head.parameters)
    if head.outputs:
        _check_outputs(head.outputs, interface.outputs)


def _check_tensor(tensor: NamedHead, data: Buffer, most_texts: int, *, open_shapes: bool) -> int:
    """Returns how many elements of BYTES the tensor has; leaves the rest unchecked if they are too many."""
    datatype = datatype_of(tensor.name, tensor.datatype)
    shape = tensor.shape
    try:
        found = elements.elements_in(datatype, data, most_texts)
        if not datatype.size and found > most_texts:
            return found
        if open_shapes and elements.is_open(shape):
            shape = elements.closed(shape, found)
        elements.check(datatype, shape, data, found)
    except ValueError as error:
        raise BadRequest(f"Input '{tensor.name}' {error}.") from None
    if tensor.parameters:
        _check_parameters(tensor.parameters)
    return 0 if datatype.size else found


def datatype_of(name: str, datatype: str) -> Datatype:
    """Raises BadRequest: the datatype of the input ``name`` is unknown."""
    found = DATATYPES.get(datatype)
    if found is None:
        raise BadRequest(f"The datatype of input '{name}' is unknown: {datatype[:32]}")
    return found


def _check_parameters(parameters: Parameters) -> None:
    for name, value in parameters.items():
        if name.startswith("shared_memory"):
            raise BadRequest("Shared memory is not supported.")
        if type(value) is int and value not in _INTEGERS:
            raise BadRequest(f"Parameter '{name}' is out of range.")


def _check_outputs(outputs: Sequence[tuple[str, Parameters]], specs: Sequence[TensorSpec]) -> None:
    known = {spec.name for spec in specs}
    if len({name for name, _ in outputs}) < len(outputs):
        raise BadRequest("An output is requested twice.")
    for name, parameters in outputs:
        if known and name not in known:
            raise unknown_output(name)
        if "classification" in parameters:
            raise BadRequest("The parameter 'classification' is not supported.")
        _check_parameters(parameters)


def unknown_output(name: str) -> BadRequest:
    return BadRequest(f"The model has no output '{name}'.")


def _check_specs(tensors: Sequence[NamedHead], names: set[str], specs: Sequence[TensorSpec]) -> None:
    known: Mapping[str, TensorSpec] = {spec.name: spec for spec in specs}
    for spec in specs:
        if spec.name not in names:
            raise BadRequest(f"Input '{spec.name}' is missing.")
    for tensor in tensors:
        spec = known.get(tensor.name)  # type: ignore[assignment]
        if spec is None:
            raise BadRequest(f"The model has no input '{tensor.name}'.")
        if tensor.datatype != spec.datatype:
            raise BadRequest(f"Input '{tensor.name}' is {tensor.datatype}, but the model takes {spec.datatype}.")
        if not _fits(tensor.shape, spec.shape):
            raise BadRequest(
                f"Input '{tensor.name}' has the shape {list(tensor.shape)}, but the model takes {list(spec.shape)}."
            )


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(size in (-1, given) for given, size in zip(shape, wanted, strict=True))


def rows_of(tensors: Sequence[NamedHead]) -> int:
    """Returns the size of the batch dimension, which all inputs must share; 1 without inputs."""
    rows = None
    for tensor in tensors:
        if not tensor.shape:
            raise BadRequest(f"Input '{tensor.name}' has no batch dimension.")
        if rows is not None and tensor.shape[0] != rows:
            raise BadRequest(f"Inputs differ in the batch dimension: {rows}, and {tensor.shape[0]} of '{tensor.name}'.")
        rows = tensor.shape[0]
    if rows is not None and rows > MOST_ROWS:
        raise BadRequest(f"The batch has more than {MOST_ROWS} rows. Models with batchDimension: null take any number.")
    return 1 if rows is None else rows
