"""Plans how a request is queued: as how many jobs, and what the worker gets with them. PURE."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.model import ModelSpec
from stoker.core.tensors import NONE, Form, NamedHead, TensorHead, TensorJob
from stoker.frontend.open_inference import checks, controls
from stoker.frontend.open_inference.request import AnswerHead, InferRequest, RequestHead
from stoker.tensors import elements, jobs
from stoker.tensors.datatypes import BOOL, DATATYPES

_LENGTH = struct.Struct("<I")
_TEXT = -1


class Plan:
    """A plan for all requests with the same head. ``rows``: how many jobs, one for each row; None: one job for the
    whole request. ``job``: the encoded `TensorJob`. ``sizes``: bytes of each input with which a request needs no
    further checks, `_TEXT` for one element of BYTES; None: each request must be checked. ``answers``: heads of answers,
    by the bytes that the worker wrote (`joining`)."""

    __slots__ = ("answers", "head", "job", "names", "rows", "sizes", "spec")

    def __init__(
        self, spec: ModelSpec, head: RequestHead, *, rows: int | None, job: bytes, sizes: Sequence[int] | None
    ) -> None:
        self.spec = spec
        self.head = head
        self.rows = rows
        self.job = job
        self.names = [tensor.name for tensor in head.inputs]
        self.sizes = sizes
        self.answers: dict[bytes, AnswerHead] = {}

    def fits(self, data: Sequence[Buffer]) -> bool:
        """Tells whether a request with this head and ``data`` needs no checks."""
        if self.sizes is None:
            return False
        for each, size in zip(data, self.sizes, strict=True):
            found = len(each)
            if found != size and (size != _TEXT or found < 4 or _LENGTH.unpack_from(each)[0] != found - 4):
                return False
        return True

    def inputs(self, request: InferRequest) -> list[Input]:
        """Returns the inputs of the only job."""
        if request.document is not None and not self.spec.tensors.rows:
            return [Input("body", "application/json", request.document)]
        return [Input(name, "", data) for name, data in zip(self.names, request.data, strict=True)]

    def inputs_by_row(self, request: InferRequest) -> Iterator[list[Input]]:
        tensors = zip(self.head.inputs, request.data, strict=True)
        pieces = [elements.rows_of(DATATYPES[tensor.datatype], tensor.shape, data) for tensor, data in tensors]
        for row in zip(*pieces, strict=True):
            yield [Input(name, "", data) for name, data in zip(self.names, row, strict=True)]


def takes_open_shapes(spec: ModelSpec) -> bool:
    """Tells whether shapes may have a size of -1, as in numpy: TorchServe's envelope reshapes with numpy, and requests
    in its examples rely on that."""
    return spec.envelope == "kservev2" and not spec.tensors.rows


def plan_of(request: InferRequest, spec: ModelSpec) -> Plan:
    """Returns the plan; checks the request first, unless the previous one with its head was like it. Raises
    BadRequest."""
    head = request.head
    plan: Plan | None = head.plan
    if plan is None or plan.spec is not spec or not plan.fits(request.data):
        checks.check(request, spec.tensors, open_shapes=takes_open_shapes(spec))
        plan = head.plan = _new_plan(request, spec)
    return plan


def _new_plan(request: InferRequest, spec: ModelSpec) -> Plan:
    head, interface = request.head, spec.tensors
    if not interface.rows:
        return Plan(spec, head, rows=None, job=_document_job(request), sizes=None)
    rows = checks.rows_of(head.inputs) if interface.batched else None
    form = Form.WHOLE if rows is None else Form.ROW
    heads = [TensorHead(each.datatype, each.shape if rows is None else each.shape[1:]) for each in head.inputs]
    job = jobs.encode(TensorJob(form, "", heads, controls.for_handler(head.parameters) or None))
    return Plan(spec, head, rows=rows, job=job, sizes=_sizes(head.inputs, request.data))


def _document_job(request: InferRequest) -> bytes:
    """Describes the JSON document that TorchServe's handlers get: the client's own, or one to make from the tensors."""
    head = request.head
    if request.document is not None:
        return jobs.encode(TensorJob(Form.JSON, names=[tensor.name for tensor in head.inputs]))
    heads = [
        TensorHead(datatype, shape, controls.for_handler(parameters or NONE) or None, text)
        for _, datatype, shape, parameters, text in head.inputs
    ]
    parameters = controls.for_handler(head.parameters) or None
    return jobs.encode(TensorJob(Form.DOCUMENT, request.id, heads, parameters, head.outputs))


def _sizes(inputs: Sequence[NamedHead], data: Sequence[Buffer]) -> Sequence[int] | None:
    sizes = []
    for tensor, each in zip(inputs, data, strict=True):
        fixed = DATATYPES[tensor.datatype].size
        if tensor.datatype == BOOL or (not fixed and elements.count_of(tensor.shape) != 1):
            return None
        sizes.append(len(each) if fixed else _TEXT)
    return sizes
