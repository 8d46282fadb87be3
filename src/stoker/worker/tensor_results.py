"""Converts what a handler returned to output tensors. Recognises numpy and torch without importing them.

A result is a value for one row.  The datatype is that of an array, else the configured one, else it follows from the
Python values.  The caller adds the batch dimension.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.core.tensors import Form, Tensor, TensorInterface, TensorJob, TensorSpec
from stoker.tensors import elements
from stoker.tensors.datatypes import BYTES, DATATYPES
from stoker.tensors.replies import Answer
from stoker.worker.tensor_rows import shape_of

_TEXTS = (bytes, bytearray, memoryview, str)
_NUMBERS = (bool, int, float)
_OF_KIND = {"b": "BOOL", "i": "INT", "u": "UINT", "f": "FP"}


class NotATensor(ValueError):
    """A result that cannot be converted to a tensor; the message is for the client."""


def answer(result: Any, job: TensorJob, interface: TensorInterface, input_names: Sequence[str]) -> Answer:
    """Returns the output tensors of one result. Raises NotATensor."""
    try:
        if job.form in (Form.JSON, Form.DOCUMENT):
            document = _document_of(result)
            if document is not None:
                return _of_document(document, input_names)
        return Answer(_outputs(result, job, interface, input_names))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, NotATensor):
            raise
        raise NotATensor(f"The handler's result cannot be made a tensor: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else type(error).__name__


# --------------------------------------------------------------------------------- documents of the protocol


def _document_of(result: Any) -> dict[str, Any] | None:
    """Returns a result that is an answer in the protocol's JSON, as a dict or as text."""
    if isinstance(result, bytes | bytearray | str) and result[:1] in ("{", b"{") and _mentions_outputs(result):
        try:
            result = json.loads(result)
        except ValueError:
            return None
    if isinstance(result, dict) and isinstance(result.get("outputs"), list):
        return result
    return None


def _mentions_outputs(text: bytes | bytearray | str) -> bool:
    return '"outputs"' in text if isinstance(text, str) else b'"outputs"' in text


def _of_document(document: dict[str, Any], input_names: Sequence[str]) -> Answer:
    outputs = [_of_entry(entry, number, input_names) for number, entry in enumerate(document["outputs"])]
    id, model, version = (str(document.get(key) or "") for key in ("id", "model_name", "model_version"))
    return Answer(outputs, id, model, version, _parameters(document))


def _of_entry(entry: Any, number: int, input_names: Sequence[str]) -> Tensor:
    if not isinstance(entry, dict) or "data" not in entry:
        raise NotATensor("An output of the handler has no 'data'")
    name = str(entry.get("name") or _name(number, input_names))
    datatype = entry.get("datatype")
    if datatype is not None and datatype not in DATATYPES:
        raise NotATensor(f"The datatype of output '{name}' is unknown: {datatype}")
    found = _tensor(entry["data"], name, datatype, strings=True)
    shape = entry.get("shape")
    if shape is None:
        return found._replace(parameters=_parameters(entry))
    if not isinstance(shape, list | tuple) or not all(isinstance(size, int) for size in shape):
        raise NotATensor(f"The shape of output '{name}' is not a list of whole numbers")
    try:
        datatype = DATATYPES[found.datatype]
        elements.check(datatype, shape, found.data, elements.elements_in(datatype, found.data))
    except ValueError as error:
        raise NotATensor(f"Output '{name}' {error}") from None
    return found._replace(shape=list(shape), parameters=_parameters(entry))


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    found = given.get("parameters")
    if not isinstance(found, dict):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, bool | int | float | str)}


# ------------------------------------------------------------------------------------------- other results


def _outputs(result: Any, job: TensorJob, interface: TensorInterface, input_names: Sequence[str]) -> list[Tensor]:
    configured = interface.outputs
    if isinstance(result, dict) and result:
        named = {spec.name: spec for spec in configured}
        if named and all(key in named for key in result):
            return [_of_value(value, named[key], key, job.form) for key, value in result.items()]
        if not named and any(map(_is_array, result.values())):
            return [_of_value(value, None, str(key), job.form) for key, value in result.items()]
    spec = configured[0] if configured else None
    plain = "output" if interface.rows else _name(0, input_names)
    return [_of_value(result, spec, spec.name if spec is not None else plain, job.form)]


def _name(number: int, input_names: Sequence[str]) -> str:
    return input_names[number] if number < len(input_names) else f"output{number}"


def _of_value(value: Any, spec: TensorSpec | None, name: str, form: Form) -> Tensor:
    wanted = spec.datatype if spec is not None else None
    strings = spec is not None and len(spec.shape) > (1 if form is Form.ROW else 0)
    found = _tensor(value, name, wanted, strings=strings)
    if not found.shape and form is not Form.ROW:
        return found._replace(shape=[1])
    return found


def _tensor(value: Any, name: str, wanted: str | None, *, strings: bool) -> Tensor:
    """Returns a tensor of the value's own shape. ``strings``: a list of strings is a tensor of them."""
    if _is_array(value):
        return _of_array(value, name, wanted)
    if isinstance(value, _TEXTS):
        return Tensor(name, _only_bytes(wanted, name), [], elements.joined([value]))
    if isinstance(value, list | tuple) and _is_array(_first(value)):
        return _of_array(_stacked(value), name, wanted)
    if isinstance(value, (*_NUMBERS, list, tuple)):
        found = _of_list(value, name, wanted, strings=strings)
        if found is not None:
            return found
    return Tensor(name, _only_bytes(wanted, name), [], elements.joined([_json(value)]))


def _only_bytes(wanted: str | None, name: str) -> str:
    if wanted not in (None, BYTES):
        raise NotATensor(f"Output '{name}' is not {wanted}")
    return BYTES


def _text(value: Any) -> Any:
    return value if isinstance(value, _TEXTS) else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise NotATensor("Unsupported model output data type.") from None


def _of_list(value: Any, name: str, wanted: str | None, *, strings: bool) -> Tensor | None:
    """Returns a tensor of numbers, or of strings; None: it is neither."""
    shape = shape_of(value)
    values = _regular(value, len(shape)) if shape else [value]
    if values is None or (not shape and wanted == BYTES):
        return None
    if strings and wanted == BYTES:
        return Tensor(name, BYTES, shape, elements.joined([_text(each) for each in values]))
    kinds = set(map(type, values))
    if kinds <= {bool, int, float}:
        datatype = wanted or _datatype_of(kinds, values)
        if datatype == BYTES:
            return None
        if not DATATYPES[datatype].is_float and float in kinds:
            if not all(float(each).is_integer() for each in values):
                raise NotATensor(f"Output '{name}' has elements that are not {datatype}")
            values = list(map(int, values))
    elif all(issubclass(kind, _TEXTS) for kind in kinds) and (strings or str not in kinds):
        datatype = _only_bytes(wanted, name)
    else:
        return None
    try:
        return Tensor(name, datatype, shape, elements.raw_of(DATATYPES[datatype], values))
    except ValueError as error:
        raise NotATensor(f"Output '{name}' {error}") from None


def _regular(value: Any, depth: int) -> list[Any] | None:
    """Flattens nested lists; None where they differ in length or depth."""
    values = list(value)
    for _ in range(depth - 1):
        if not all(isinstance(each, list | tuple) for each in values) or len(set(map(len, values))) != 1:
            return None
        values = [element for each in values for element in each]
    return None if any(isinstance(each, list | tuple) for each in values) else values


def _datatype_of(kinds: set[type], values: list[Any]) -> str:
    if float in kinds or not kinds:
        return "FP32"
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if max(values) < 1 << 63 else "UINT64"


# -------------------------------------------------------------------------------------------------- arrays


def _is_array(value: Any) -> bool:
    return _is_torch(value) or _is_numpy(value)


def _is_torch(value: Any) -> bool:
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    kinds = getattr(numpy, "ndarray", None), getattr(numpy, "generic", None)
    return all(isinstance(kind, type) for kind in kinds) and isinstance(value, kinds)  # type: ignore[arg-type]


def _first(value: Any) -> Any:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return value


def _stacked(value: Any) -> Any:
    """Stacks nested lists of arrays, or of numpy's numbers. Raises NotATensor: they differ."""
    if not isinstance(value, list | tuple):
        return value
    parts = [_stacked(each) for each in value]
    try:
        return sys.modules["torch" if all(map(_is_torch, parts)) else "numpy"].stack(parts)
    except (ValueError, TypeError, RuntimeError):
        raise NotATensor("The arrays in a list of the handler differ in shape or kind") from None


def _of_array(value: Any, name: str, wanted: str | None) -> Tensor:
    if _is_torch(value):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            if wanted in (None, "BF16"):
                raw = value.contiguous().view(sys.modules["torch"].int16).numpy().tobytes()
                return Tensor(name, "BF16", list(value.shape), raw)
            value = value.float()
        value = value.numpy()
    numpy = sys.modules["numpy"]
    array = numpy.asarray(value)
    shape, kind = list(array.shape), array.dtype.kind
    if kind in "SUO":
        flat = [_text(each) for each in array.ravel().tolist()]
        return Tensor(name, _only_bytes(wanted, name), shape, elements.joined(flat))
    own = _datatype_of_array(array, name)
    if wanted is not None and wanted != own:
        return _cast(array, name, wanted)
    return Tensor(name, own, shape, _raw(array))


def _datatype_of_array(array: Any, name: str) -> str:
    kind, size = _OF_KIND.get(array.dtype.kind), 8 * array.dtype.itemsize
    datatype = kind if kind in (None, "BOOL") else f"{kind}{size}"
    if datatype not in DATATYPES:
        raise NotATensor(f"The array of output '{name}' has a type that no tensor has: {array.dtype}")
    return str(datatype)


def _cast(array: Any, name: str, wanted: str) -> Tensor:
    if wanted == BYTES:
        raise NotATensor(f"Output '{name}' is not BYTES")
    shape = list(array.shape)
    if wanted == "BF16":
        return Tensor(name, wanted, shape, elements.raw_of(DATATYPES[wanted], array.ravel().tolist()))
    code = "?" if wanted == "BOOL" else f"{DATATYPES[wanted].code or 'e'}"
    return Tensor(name, wanted, shape, _raw(array.astype(code)))


def _raw(array: Any) -> bytes:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    raw: bytes = little.tobytes()  # in row order
    return raw
