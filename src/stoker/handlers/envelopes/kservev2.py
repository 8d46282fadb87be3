"""`KServev2Envelope`: the open inference protocol. One request per batch; its input tensors are the handler's rows.

The request's id and the names of its inputs are kept on the context, for the handler and for the reply.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stoker.handlers.envelopes.base import BaseEnvelope, json_body_of, list_member
from stoker.handlers.util import PredictionException

_NUMPY_TYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_DATATYPES = {numpy_type: datatype for datatype, numpy_type in _NUMPY_TYPES.items()}


class KServev2Envelope(BaseEnvelope):
    def parse_input(self, data: Any) -> Any:
        body = json_body_of(data[0])
        inputs = list_member(body, "inputs")
        self.context.input_request_id = body.get("id")
        self.context.input_names = [_member(each, "name") for each in inputs]
        return [_read_tensor(each) for each in inputs]

    def format_output(self, data: Any) -> Any:
        model = (self.context.manifest or {}).get("model", {})
        names = self.context.input_names
        return [
            {
                "id": self.context.input_request_id or self.context.get_request_id(0),
                "model_name": model.get("modelName"),
                "model_version": model.get("modelVersion"),
                "outputs": [
                    {"name": names[index] if index < len(names) else f"output-{index}", **_written_tensor(output)}
                    for index, output in enumerate(data)
                ],
            }
        ]


def _member(item: Any, name: str) -> Any:
    if not isinstance(item, dict) or name not in item:
        raise PredictionException(f"An input has no '{name}'", 400)
    return item[name]


def _read_tensor(item: Any) -> Any:
    datatype, values = _member(item, "datatype"), _member(item, "data")
    try:
        if datatype == "BYTES":
            return values[0]
        return np.array(values, dtype=_NUMPY_TYPES[datatype]).reshape(_member(item, "shape"))
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise PredictionException(
            f"The data of input '{item.get('name')}' is not {datatype} of its shape", 400
        ) from error


def _written_tensor(output: Any) -> dict[str, Any]:
    """What numpy cannot hold as numbers goes out as BYTES: strings as they are, all else as JSON."""
    if isinstance(output, bytes | bytearray):
        output = bytes(output).decode("utf-8")
    if hasattr(output, "detach"):
        output = output.detach().cpu().numpy()
    array = None if isinstance(output, dict | str) else _array(output)
    if array is None or array.dtype.name not in _DATATYPES:
        text = output if isinstance(output, str) else json.dumps(output)
        return {"datatype": "BYTES", "data": [text], "shape": [1]}
    return {"datatype": _DATATYPES[array.dtype.name], "data": array.flatten().tolist(), "shape": list(array.shape)}


def _array(output: Any) -> Any:
    try:
        return np.array(output)
    except ValueError:  # rows of different lengths
        return None
