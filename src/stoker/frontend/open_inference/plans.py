"""How a request is queued: as which jobs, with what for the worker. PURE."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stoker.core.job import Input
from stoker.core.model import ModelSpec
from stoker.core.tensors import Form, Tensor, TensorHead, TensorJob
from stoker.frontend.open_inference import checks, controls
from stoker.frontend.open_inference.request import InferRequest
from stoker.tensors import elements, jobs
from stoker.tensors.datatypes import DATATYPES

_LENGTH = struct.Struct("<I")
_TEXT = -1


class Plan(NamedTuple):
    """``rows``: how many jobs; None: one, of the whole request. ``sizes``: what each input's data must be to pass the
    checks again, in bytes, or one element of BYTES; None: they must be made."""

    spec: ModelSpec
    rows: int | None
    job: bytes
    sizes: Sequence[int] | None

    def inputs(self, request: InferRequest) -> list[Input]:
        """Returns the inputs of the only job."""
        if request.document is not None and not self.spec.tensors.rows:
            return [Input("body", "application/json", request.document)]
        return [Input(tensor.name, "", tensor.data) for tensor in request.inputs]


def plan_of(request: InferRequest, spec: ModelSpec) -> Plan:
    """Checks the request, unless one like it has passed. Raises BadRequest."""
    template = request.template
    if template is not None and template.plan is not None:
        plan: Plan = template.plan
        if plan.spec is spec and plan.sizes is not None and _fit(request.inputs, plan.sizes):
            return plan
    checks.check(request, spec.tensors)
    plan = _made(request, spec)
    if template is not None:
        template.plan = plan
    return plan


def _fit(tensors: Sequence[Tensor], sizes: Sequence[int]) -> bool:
    for tensor, size in zip(tensors, sizes, strict=True):
        data = tensor.data
        found = len(data)
        if found != size and (size != _TEXT or found < 4 or _LENGTH.unpack_from(data)[0] != found - 4):
            return False
    return True


def _made(request: InferRequest, spec: ModelSpec) -> Plan:
    interface = spec.tensors
    if not interface.rows:
        return Plan(spec, None, _document_job(request), None)
    rows = checks.rows_of(request.inputs) if interface.batched else None
    form = Form.WHOLE if rows is None else Form.ROW
    shapes = [tensor.shape if rows is None else tensor.shape[1:] for tensor in request.inputs]
    heads = [TensorHead(tensor.datatype, shape) for tensor, shape in zip(request.inputs, shapes, strict=True)]
    parameters = controls.for_handler(request.parameters) or None
    return Plan(spec, rows, jobs.encode(TensorJob(form, "", heads, parameters)), _sizes(request.inputs))


def _document_job(request: InferRequest) -> bytes:
    """Describes the document of TorchServe's handlers: as the client sent it, or to be made of the tensors."""
    if request.document is not None:
        return jobs.encode(TensorJob(Form.JSON, names=[tensor.name for tensor in request.inputs]))
    heads = [
        TensorHead(datatype, shape, parameters or None, text)
        for _, datatype, shape, _, parameters, text in request.inputs
    ]
    parameters = controls.for_handler(request.parameters) or None
    return jobs.encode(TensorJob(Form.DOCUMENT, request.id, heads, parameters, request.outputs))


def _sizes(tensors: Sequence[Tensor]) -> Sequence[int] | None:
    sizes = []
    for _, datatype, shape, data, _, _ in tensors:
        row = DATATYPES[datatype]
        if not row.size and elements.count_of(shape) != 1:
            return None
        sizes.append(len(data) if row.size else _TEXT)
    return sizes


def rows_of(tensors: Sequence[Tensor]) -> Iterator[list[Input]]:
    """Yields the inputs of each row."""
    names = [tensor.name for tensor in tensors]
    pieces = [elements.rows_of(DATATYPES[tensor.datatype], tensor.shape, tensor.data) for tensor in tensors]
    for row in zip(*pieces, strict=True):
        yield [Input(name, "", data) for name, data in zip(names, row, strict=True)]
