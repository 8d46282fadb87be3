"""`KServev2Envelope`: the open inference protocol. The inputs of all requests are the handler's rows.

A row is the input as it came (name, shape, datatype and what else it has), its ``data`` a nested list of that shape or,
for BYTES, its only string, else a list of them.  The first request's id and the names of the inputs are on the context
while the handler runs.  A result is an output, of its own shape and, if it is an array, datatype.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stoker.handlers.envelopes.base import BaseEnvelope, json_body_of, list_member
from stoker.handlers.util import PredictionException

_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_MOST_EMPTY_LISTS = 10_000


class KServev2Envelope(BaseEnvelope):
    def parse_input(self, data: Any) -> Any:
        bodies = [json_body_of(row) for row in data]
        requests = [[_row(each) for each in list_member(body, "inputs")] for body in bodies]
        self._take("input_request_id")  # left by a request whose handler failed
        rows = [row for request in requests for row in request]
        self.context.input_names = [row["name"] for row in rows]
        self.context.input_counts = [len(request) for request in requests]
        self.context.input_ids = ids = [_id(body) for body in bodies]
        if ids[0]:
            self.context.input_request_id = ids[0]
        return rows

    def format_output(self, data: Any) -> Any:
        names, counts = self._take("input_names") or [], self._take("input_counts") or [0]
        ids = self._take("input_ids") or [""]
        self._take("input_request_id")
        outputs = list(data)
        if len(counts) == 1:
            counts = [len(outputs)]  # a handler may make more outputs of one request, or fewer
        elif len(outputs) != sum(counts):
            raise PredictionException(f"The handler made {len(outputs)} outputs of {sum(counts)} inputs", 500)
        answers, at = [], 0
        for index, count in enumerate(counts):
            some, their_names = outputs[at : at + count], names[at : at + count]
            answers.append(self._answer(ids[index] or self.context.get_request_id(index), some, their_names))
            at += count
        return answers

    def _answer(self, id: Any, outputs: list[Any], names: list[Any]) -> dict[str, Any]:
        model = (self.context.manifest or {}).get("model", {})
        return {
            "id": id,
            "model_name": model.get("modelName"),
            "model_version": model.get("modelVersion"),
            "outputs": [
                _to_json(output, names[index] if index < len(names) else f"output-{index}")
                for index, output in enumerate(outputs)
            ],
        }

    def _take(self, name: str) -> Any:
        """Takes an attribute that belongs to one request off the context."""
        value = getattr(self.context, name, None)
        if value is not None:
            delattr(self.context, name)
        return value


def _id(body: dict[str, Any]) -> Any:
    """Returns the request's id; empty for one without."""
    id = body.get("id")
    return id if id and str(id).strip() else ""


def _to_json(data: Any, name: Any) -> dict[str, Any]:
    values = _array(data)
    datatype = _DATATYPES.get(values.dtype.name, "BYTES")
    if datatype == "FP64" and not hasattr(data, "dtype"):
        datatype = "FP32"  # Python's numbers say nothing of the model's
    shape = list(values.shape) or [1]
    return {"name": name, "datatype": datatype, "data": values.flatten().tolist(), "shape": shape}


def _row(item: Any) -> dict[str, Any]:
    for member in ("name", "datatype", "data"):
        if not isinstance(item, dict) or member not in item:
            raise PredictionException(f"An input has no '{member}'", 400)
    try:
        return {**item, "data": _texts(item["data"]) if item["datatype"] == "BYTES" else _shaped(item)}
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise PredictionException(f"The data of input '{item['name']}' does not fit its shape", 400) from error


def _texts(data: Any) -> Any:
    first = data[0]
    return first if len(data) == 1 or isinstance(data, str) else data


def _shaped(item: dict[str, Any]) -> Any:
    """Nests a flat list by its shape. Bounds empty shapes: they could ask for any number of empty lists."""
    shape = item["shape"]
    array = np.array(item["data"]).reshape(tuple(shape) if isinstance(shape, list) else shape)
    if not array.size and math.prod(filter(None, array.shape)) > _MOST_EMPTY_LISTS:
        raise ValueError("no data for so large a shape")
    return array.tolist()


def _array(output: Any) -> Any:
    """Converts numbers and strings by numpy's rules; other values (rows of different lengths) become objects."""
    if hasattr(output, "detach"):
        output = output.detach().cpu()
        return (output.float() if str(output.dtype) == "torch.bfloat16" else output).numpy()
    try:
        array = np.array(output)
    except ValueError:
        return np.array(output, dtype=object)
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
