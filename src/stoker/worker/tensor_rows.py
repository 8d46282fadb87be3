"""Makes the handler's row of a request with tensors: TorchServe's document, or a value of each tensor by its name."""

from __future__ import annotations

import base64
import importlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.core.tensors import Form, TensorHead, TensorInterface, TensorJob
from stoker.tensors import elements, jobs
from stoker.tensors.datatypes import BYTES, DATATYPES

_JSON, _DOCUMENT = Form.JSON, Form.DOCUMENT
_LENGTH = struct.Struct("<I")
_DOCUMENT_TYPE = {"content-type": "application/json"}

Values = dict[str, Any]
Convert = Callable[[TensorHead, bytearray], Any]


class RowMaker:
    """Makes rows for one model. Import errors of ``interface.values`` are raised here, while the model loads."""

    def __init__(self, interface: TensorInterface, model_name: str) -> None:
        self._model_name = model_name
        self._convert: Convert = _CONVERTERS[interface.values]()

    def row(self, encoded: bytes, inputs: Values, headers: dict[str, Any]) -> dict[str, Any]:
        """Makes the row of ``inputs``. ``encoded``: what they are (`tensors.jobs`). ``headers``: those of the request,
        and the content type of each input."""
        job = jobs.decode(encoded)
        if job.form is _JSON:
            return inputs
        if job.form is _DOCUMENT:
            headers["body"] = _DOCUMENT_TYPE
            return {"body": self._document(job, inputs)}
        row = inputs
        for head, (name, data) in zip(job.tensors, inputs.items(), strict=True):
            if head.datatype != BYTES:
                row[name] = self._convert(head, data)
            elif len(data) >= 4 and _LENGTH.unpack_from(data)[0] == len(data) - 4:
                del data[:4]  # handlers written for other protocols expect no list of one element
            else:
                row[name] = elements.nested(elements.values_of(DATATYPES[BYTES], data), head.shape)
        if len(row) == 1 and "data" not in row:
            row["data"] = row[name]
        if job.parameters:
            row.setdefault("parameters", dict(job.parameters))
        return row

    def _document(self, job: TensorJob, inputs: Values) -> dict[str, Any]:
        tensors = zip(job.tensors, inputs.items(), strict=True)
        document: dict[str, Any] = {
            "id": job.id,
            "model_name": self._model_name,
            "inputs": [_described(head, name, data) for head, (name, data) in tensors],
        }
        if job.parameters:
            document["parameters"] = dict(job.parameters)
        if job.outputs:
            document["outputs"] = [
                {"name": name, **({"parameters": dict(parameters)} if parameters else {})}
                for name, parameters in job.outputs
            ]
        return document


def _described(head: TensorHead, name: str, data: bytearray) -> dict[str, Any]:
    tensor = {
        "name": name,
        "shape": list(head.shape),
        "datatype": head.datatype,
        "data": _plain(head, elements.values_of(DATATYPES[head.datatype], data)),
    }
    return {**tensor, "parameters": dict(head.parameters)} if head.parameters else tensor


def _plain(head: TensorHead, values: list[Any]) -> list[Any]:
    """Makes strings of BYTES for JSON: text as it came, all else in base64, as TorchServe does."""
    if head.datatype != BYTES:
        return values
    if head.text:
        return [value.decode("utf-8", "replace") for value in values]
    return [base64.b64encode(value).decode() for value in values]


def _lists() -> Convert:
    return lambda head, data: elements.nested(elements.values_of(DATATYPES[head.datatype], data), head.shape)


def _arrays() -> Convert:
    numpy = importlib.import_module("numpy")
    types = {
        name: numpy.dtype(numpy.bool_ if name == "BOOL" else _numpy_code(row.size, name))
        for name, row in DATATYPES.items()
        if name not in (BYTES, "BF16")
    }

    def convert(head: TensorHead, data: bytearray) -> Any:
        if head.datatype == "BF16":  # numpy has none
            values = elements.values_of(DATATYPES["BF16"], data)
            return numpy.array(values, dtype=numpy.float32).reshape(head.shape)
        return numpy.frombuffer(data, dtype=types[head.datatype]).reshape(head.shape)

    return convert


def _numpy_code(size: int, name: str) -> str:
    return f"<{'u' if name.startswith('U') else 'i' if name.startswith('I') else 'f'}{size}"


def _tensors() -> Convert:
    torch = importlib.import_module("torch")
    names = {
        **{f"INT{8 * size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
        **{f"UINT{8 * size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
        "FP16": "float16",
        "BF16": "bfloat16",
        "FP32": "float32",
        "FP64": "float64",
        "BOOL": "bool",
    }
    types = {name: getattr(torch, word, None) for name, word in names.items()}

    def convert(head: TensorHead, data: bytearray) -> Any:
        kind = types[head.datatype]
        if kind is None:  # older versions of torch lack some unsigned ones
            values = elements.values_of(DATATYPES[head.datatype], data)
            return torch.tensor(values, dtype=torch.int64).reshape(tuple(head.shape))
        if not data:
            return torch.empty(tuple(head.shape), dtype=kind)
        return torch.frombuffer(data, dtype=kind).reshape(tuple(head.shape))

    return convert


_CONVERTERS: Mapping[str, Callable[[], Convert]] = {"list": _lists, "numpy": _arrays, "torch": _tensors}


def shape_of(value: Sequence[Any]) -> list[int]:
    """Returns the shape of nested lists, as their first elements show it."""
    shape: list[int] = []
    each: Any = value
    while isinstance(each, list | tuple):
        shape.append(len(each))
        if not each:
            break
        each = each[0]
    return shape
