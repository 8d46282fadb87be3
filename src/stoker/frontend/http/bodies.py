"""The body of a prediction as the handler's inputs: forms and uploads by field, everything else whole.

Laws: nothing is read twice or copied without need; a form of absurd shape is refused, not parsed to its end.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.errors import BadRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS = 1000
MAX_BOUNDARY_BYTES = 200
_LONGEST_KEPT = 100
_MAX_PART_HEADERS = 16
_MAX_PART_HEADER_BYTES = 8192

Inputs = dict[str, Input]
"""By name: of a name that comes several times the last one counts."""


def read_body(body: Buffer, content_type: bytes) -> Inputs:
    """Raises BadRequest."""
    mime = _kept_mime(content_type) if len(content_type) <= _LONGEST_KEPT else _mime(content_type)
    kind = mime.lower()
    if kind == "multipart/form-data":
        return _multipart(body, content_type)
    if kind == "application/x-www-form-urlencoded":
        return read_query(bytes(body), "form")
    return {"body": Input("body", mime, body)}


def _mime(content_type: bytes) -> str:
    """Without parameters."""
    return content_type.partition(b";")[0].strip().decode("latin-1")


_kept_mime = lru_cache(maxsize=256)(_mime)


def read_query(text: bytes, what: str = "query") -> Inputs:
    """``name=value&...`` as inputs without a content type."""
    if text.count(b"&") >= MAX_FIELDS:
        raise BadRequest(f"The {what} has more than {MAX_FIELDS} fields.")
    inputs: Inputs = {}
    for field in text.split(b"&"):
        if field:
            given, _, value = field.partition(b"=")
            name = _unquoted(given).decode("utf-8", "replace")
            inputs[name] = Input(name, "", _unquoted(value))
    return inputs


_STRAY = re.compile(rb"%(?![0-9a-fA-F]{2})")


def _unquoted(text: bytes) -> bytes:
    """By way of quoted-printable, which is the same with another sign and is decoded in C: a form of many megabytes
    must not hold everybody up."""
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    exact = _STRAY.sub(b"%25", text).replace(b"=", b"%3D")
    return binascii.a2b_qp(exact.replace(b"%", b"="))


def query_value(query: bytes, name: str) -> str | None:
    """The last value of one parameter."""
    wanted = name.encode()
    found = None
    for field in query.split(b"&"):
        given, _, value = field.partition(b"=")
        if given == wanted:
            found = _unquoted(value).decode("utf-8", "replace")
    return found


def _multipart(body: Buffer, content_type: bytes) -> Inputs:
    _, options = parse_options_header(content_type.decode("latin-1"))
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadRequest(f"A multipart form needs a boundary of 1 to {MAX_BOUNDARY_BYTES} characters.")
    form = _Form(body)
    try:
        parser = MultipartParser(
            boundary,
            form.callbacks(),
            max_header_count=_MAX_PART_HEADERS,
            max_header_size=_MAX_PART_HEADER_BYTES,
        )
        parser.write(bytes(body))
        parser.finalize()
    except (FormParserError, ValueError):
        raise BadRequest("The multipart form is not valid.") from None
    if not form.ended:
        raise BadRequest("The multipart form has no end.")
    return form.inputs


class _Form:
    """Collects the parts that the parser finds. What it tells of a part's data are places in the body."""

    def __init__(self, body: Buffer) -> None:
        self._body = memoryview(body)
        self.inputs: Inputs = {}
        self.ended = False
        self._count = 0
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data: list[memoryview] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._count += 1
        if self._count > MAX_FIELDS:
            raise BadRequest(f"The form has more than {MAX_FIELDS} fields.")
        self._headers, self._data = {}, []

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(self._body[start:end])

    def _on_part_end(self) -> None:
        """Only files have a content type: TorchServe gives plain fields none, whatever they say."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name = options.get(b"name")
        if name is None:
            raise BadRequest("A part of the multipart form has no name.")
        content_type = self._headers.get(b"content-type", b"") if b"filename" in options else b""
        value: Buffer = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        text = name.decode("utf-8", "replace")
        self.inputs[text] = Input(text, content_type.decode("latin-1"), value)

    def _on_end(self) -> None:
        self.ended = True
