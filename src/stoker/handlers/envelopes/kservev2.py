"""`KServev2Envelope`: the open inference protocol. One request per batch; its inputs are the handler's rows.

A row is the input as it came (name, shape, datatype and what else it has), its ``data`` a nested list of that shape or,
for BYTES, the first string.  The request's id and the names of its inputs are on the context while the handler runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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
        body = json_body_of(data[0])
        rows = [_row(each) for each in list_member(body, "inputs")]
        self._take("input_request_id")  # left by a request whose handler failed
        self.context.input_names = [row["name"] for row in rows]
        request_id = body.get("id")
        if request_id and str(request_id).strip():
            self.context.input_request_id = request_id
        return rows

    def format_output(self, data: Any) -> Any:
        model = (self.context.manifest or {}).get("model", {})
        return [
            {
                "id": self._take("input_request_id") or self.context.get_request_id(0),
                "model_name": model.get("modelName"),
                "model_version": model.get("modelVersion"),
                "outputs": self._batch_to_json(data),
            }
        ]

    def _batch_to_json(self, data: Iterable[Any]) -> list[dict[str, Any]]:
        names = self._take("input_names") or []
        return [
            self._to_json(output, names[index] if index < len(names) else f"output-{index}")
            for index, output in enumerate(data)
        ]

    def _to_json(self, data: Any, input_name: Any) -> dict[str, Any]:
        values = _array(data).flatten()
        return {
            "name": input_name,
            "datatype": _DATATYPES.get(values.dtype.name, "BYTES"),
            "data": values.tolist(),
            "shape": list(values.shape),
        }

    def _take(self, name: str) -> Any:
        """Takes an attribute that belongs to one request off the context."""
        value = getattr(self.context, name, None)
        if value is not None:
            delattr(self.context, name)
        return value


def _row(item: Any) -> dict[str, Any]:
    for member in ("name", "datatype", "data"):
        if not isinstance(item, dict) or member not in item:
            raise PredictionException(f"An input has no '{member}'", 400)
    try:
        return {**item, "data": item["data"][0] if item["datatype"] == "BYTES" else _shaped(item)}
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise PredictionException(f"The data of input '{item['name']}' does not fit its shape", 400) from error


def _shaped(item: dict[str, Any]) -> Any:
    """Nests a flat list by its shape. Bounds empty shapes: they could ask for any number of empty lists."""
    array = np.array(item["data"]).reshape(tuple(item["shape"]))
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
