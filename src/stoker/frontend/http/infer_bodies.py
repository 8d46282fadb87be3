"""Reads and writes the bodies of the open inference protocol: JSON, or JSON with binary tensors behind it. PURE."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, NamedHead, Parameters
from stoker.errors import BadRequest
from stoker.frontend.http import json_limits, json_steps
from stoker.frontend.open_inference.conversions import Conversions
from stoker.frontend.open_inference.request import InferAnswer, InferRequest, RequestHead
from stoker.tensors import elements
from stoker.tensors.datatypes import BOOL, BYTES, DATATYPES, Datatype

LENGTH_HEADER = b"inference-header-content-length"
SIZE = "binary_data_size"
LARGE_BYTES = json_steps.STEP_BYTES
"""A longer document is read in steps."""
_WANTED, _WANTED_ALL = "binary_data", "binary_data_output"
_OPENING = re.compile(rb"[\s\x00\xef\xbb\xbf\xff\xfe]*\{")
"""The start of an object, after white space or a byte order mark."""
_BACKSLASH = rb"\\"
_LONE_SURROGATE = re.compile(rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])")
"""An escaped surrogate (half a character beyond U+FFFF) without its other half."""
_encode = msgspec.json.Encoder().encode


class Wanted(NamedTuple):
    """Tells which outputs the client wants as binary data: ``by_name``, and ``default`` for all others."""

    default: bool
    by_name: Mapping[str, bool]

    def binary(self, name: str) -> bool:
        return self.by_name.get(name, self.default)


# ----------------------------------------------------------------------------------------------- requests


def document_of(body: Buffer, header_length: int | None) -> Generator[None, None, dict[str, Any] | None]:
    """Returns the JSON document; None: the body is not a JSON object. Yields between the steps of a large one.

    Raises BadRequest: ``header_length`` is given, but that many bytes are not a JSON object.
    """
    if header_length is None:
        return (yield from _object(body))
    if not 0 <= header_length <= len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {header_length}, the body has {len(body)} bytes.")
    document = yield from _object(memoryview(body)[:header_length])
    if document is None:
        raise BadRequest("What Inference-Header-Content-Length counts is not a JSON object.")
    return document


def _object(text: Buffer) -> Generator[None, None, dict[str, Any] | None]:
    large = len(text) > LARGE_BYTES
    if large and not looks_like_object(text):
        return None
    try:
        if large:
            yield
            yield from json_limits.check_in_steps(text)
            found = yield from json_steps.steps(text)
        else:
            json_limits.check_document(text)
            found = json_steps.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if large:
            yield
        found = _as_python_reads(text) if looks_like_object(text) else None
    except BadRequest:
        if looks_like_object(text):
            raise
        return None
    return found if isinstance(found, dict) else None


def looks_like_object(body: Buffer) -> bool:
    return _OPENING.match(bytes(memoryview(body)[:64])) is not None


def _as_python_reads(text: Buffer) -> Any:
    try:
        found = json_limits.parse(text)
    except (ValueError, RecursionError):
        return None
    return None if _has_lone_surrogate(text) else found


def _has_lone_surrogate(text: Buffer) -> bool:
    """Tells whether a string has half a character, which no answer could repeat, as UTF-8 cannot encode it."""
    return _LONE_SURROGATE.search(bytes(text).replace(_BACKSLASH, b"  ")) is not None


def request_of(
    document: Mapping[str, Any],
    body: Buffer,
    header_length: int | None,
    *,
    model: str,
    version: str,
    open_shapes: bool = False,
    later: Conversions | None = None,
) -> tuple[InferRequest, Wanted]:
    """``open_shapes``: a shape may be a single number, or leave one size to the data. ``later``: converts the values.

    Raises BadRequest.
    """
    data = memoryview(body)[header_length:] if header_length is not None else None
    inputs, contents = _inputs(document, data, later, open_shapes=open_shapes)
    outputs = _outputs(document)
    parameters = _parameters(document, "the request")
    id = document.get("id")
    id = "" if id is None else id
    if not isinstance(id, str):
        raise BadRequest("The id of the request is not a string.")
    by_name = {name: given[_WANTED] is True for name, given in outputs if _WANTED in given}
    only_json = not data and all(tensor.text for tensor in inputs)
    head = RequestHead(model, version, inputs, outputs, parameters)
    request = InferRequest(head, id, contents, body if only_json else None)
    return request, Wanted(parameters.get(_WANTED_ALL) is True, by_name)


def _inputs(
    document: Mapping[str, Any], data: memoryview | None, later: Conversions | None, *, open_shapes: bool
) -> tuple[list[NamedHead], list[Buffer]]:
    given = document.get("inputs")
    if not isinstance(given, list):
        raise BadRequest("The request has no 'inputs' list.")
    inputs: list[NamedHead] = []
    contents: list[Buffer] = []
    at = 0
    for entry in given:
        name, datatype, shape = _head(entry, open_shapes=open_shapes)
        parameters = _parameters(entry, f"input '{name}'")
        if SIZE in parameters:
            size = parameters[SIZE]
            if data is None or type(size) is not int or not 0 <= size <= len(data) - at:
                raise BadRequest(f"The binary data of input '{name}' is not in the body.")
            if entry.get("data") is not None:
                raise BadRequest(f"Input '{name}' has 'data' and binary data.")
            raw: Buffer = data[at : at + size]
            at, text = at + size, False
        else:
            closed = None if open_shapes and elements.is_open(shape) else shape
            raw, text = _raw(entry, name, datatype, closed, later), True
        inputs.append(NamedHead(name, datatype, shape, parameters, text))
        contents.append(raw)
    if data is not None and at != len(data):
        raise BadRequest(f"The body has {len(data) - at} bytes of binary data that belong to no input.")
    return inputs, contents


def _head(entry: Any, *, open_shapes: bool) -> tuple[str, str, list[int]]:
    if not isinstance(entry, dict):
        raise BadRequest("An input is not a JSON object.")
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not name:
        raise BadRequest("An input has no name.")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise BadRequest(f"The datatype of input '{name}' is unknown: {str(datatype)[:32]}")
    if open_shapes and type(shape) is int:
        shape = [shape]
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise BadRequest(f"The shape of input '{name}' is not a list of whole numbers.")
    return name, datatype, shape


def _raw(
    entry: Mapping[str, Any], name: str, datatype: str, shape: Sequence[int] | None, later: Conversions | None
) -> Buffer:
    data = entry.get("data")
    if not isinstance(data, list):
        raise BadRequest(f"Input '{name}' has no 'data' list.")
    try:
        values = elements.flat(data, None if shape is None else elements.count_of(shape))
        if later is not None:
            return later.add(name, DATATYPES[datatype], values, _converted)
        return _converted(DATATYPES[datatype], values)
    except ValueError as error:
        raise BadRequest(f"Input '{name}' {error}.") from None


def _converted(datatype: Datatype, values: Sequence[Any]) -> bytes:
    if datatype.name != BOOL and bool in set(map(type, values)):
        raise ValueError(f"has elements that are not {datatype.name}")
    return elements.raw_of(datatype, values)


def _outputs(document: Mapping[str, Any]) -> list[tuple[str, Parameters]]:
    given = document.get("outputs") or []
    if not isinstance(given, list):
        raise BadRequest("'outputs' is not a list.")
    outputs = []
    for entry in given:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise BadRequest("A requested output has no name.")
        outputs.append((name, _parameters(entry, f"output '{name}'")))
    return outputs


def _parameters(entry: Mapping[str, Any], whose: str) -> Parameters:
    given = entry.get("parameters")
    if not given:
        return NONE
    if not isinstance(given, dict) or not all(isinstance(value, bool | int | float | str) for value in given.values()):
        raise BadRequest(f"The parameters of {whose} are not a map of strings, numbers and booleans.")
    return given


# ------------------------------------------------------------------------------------------------ answers


def write(answer: InferAnswer, wanted: Wanted) -> tuple[bytes, int | None]:
    """Returns the body, and the length of its JSON; None: nothing follows the JSON.

    Raises BadRequest: JSON cannot hold an output that the client wants in it.
    """
    head, binary = answer.head, list[Buffer]()
    tensors = zip(head.outputs, answer.data, strict=True)
    outputs = [_output(tensor, data, wanted, binary) for tensor, data in tensors]
    document: dict[str, Any] = {"model_name": head.model, "model_version": head.version}
    if answer.id:
        document["id"] = answer.id
    if head.parameters:
        document["parameters"] = head.parameters
    text = _json({**document, "outputs": outputs}, head.outputs)
    return (b"".join((text, *binary)), len(text)) if binary else (text, None)


def _output(tensor: NamedHead, data: Buffer, wanted: Wanted, binary: list[Buffer]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    parameters = {name: value for name, value in (tensor.parameters or NONE).items() if name != SIZE}
    if wanted.binary(tensor.name):
        binary.append(data)
        return {**described, "parameters": {**parameters, SIZE: len(data)}}
    if parameters:
        described["parameters"] = parameters
    values = elements.values_of(DATATYPES[tensor.datatype], data)
    return {**described, "data": _texts(tensor.name, values) if tensor.datatype == BYTES else values}


def _texts(name: str, values: Sequence[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise BadRequest(f"Output '{name}' is not UTF-8 text: ask for it as binary data.") from None


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _json(document: Mapping[str, Any], outputs: Sequence[NamedHead]) -> bytes:
    """Writes compact JSON. NaN and Infinity, which JSON lacks, are written as Python and most clients write them."""
    finite = all(map(_is_finite, document.get("parameters", NONE).values())) and all(
        all(map(math.isfinite, entry["data"]))
        for entry, tensor in zip(document["outputs"], outputs, strict=True)
        if DATATYPES[tensor.datatype].is_float and "data" in entry
    )
    if finite:
        return _encode(document)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
