"""Converts the body of a prediction to the handler's inputs: forms and uploads by field, everything else whole.

Invariants: no body is read twice or copied without need; a form with too many fields is refused.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from functools import partial

from python_multipart.multipart import parse_options_header

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.errors import BadRequest
from stoker.frontend.http import multipart

MAX_FIELDS = 1000
MAX_BOUNDARY_BYTES = 200
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]*))', re.IGNORECASE)

Inputs = dict[str, Input]
"""Inputs by name; the last value of a repeated name counts."""


def reader(content_type: bytes) -> Callable[[Buffer], Inputs]:
    """Returns the function that reads bodies of this type; the function raises BadRequest."""
    mime = content_type.partition(b";")[0].strip().decode("latin-1")
    kind = mime.lower()
    if kind == "multipart/form-data" and (boundary := _BOUNDARY.search(content_type)):
        return partial(_multipart, boundary[1] or boundary[2] or b"")
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded
    return lambda body: {"body": Input("body", mime, body)}


def _urlencoded(body: Buffer) -> Inputs:
    """Parses a form.

    Refuses a body that has this type by mistake, such as JSON sent with `curl -d`, which would parse as a name without
    a value.
    """
    text = bytes(body).rstrip(b"\r\n")
    if text and b"=" not in text and b"&" not in text:
        raise BadRequest(
            "The body is not a form, although its type is application/x-www-form-urlencoded (curl's default): it has "
            "no name=value. Send another type, such as Content-Type: application/json."
        )
    return read_query(text, "form")


def read_query(text: bytes, what: str = "query") -> Inputs:
    """Parses ``name=value&...`` as inputs without a content type."""
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
    """Percent-decodes by way of quoted-printable, which differs only in its escape character and is decoded in C: a
    form of many megabytes must not block the loop."""
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    exact = _STRAY.sub(b"%25", text).replace(b"=", b"%3D")
    return binascii.a2b_qp(exact.replace(b"%", b"="))


def query_value(query: bytes, name: str) -> str | None:
    """Returns the last value of one parameter."""
    wanted = name.encode()
    found = None
    for field in query.split(b"&"):
        given, _, value = field.partition(b"=")
        if given == wanted:
            found = _unquoted(value).decode("utf-8", "replace")
    return found


def _multipart(boundary: bytes, body: Buffer) -> Inputs:
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadRequest(f"The boundary of a multipart form must have 1 to {MAX_BOUNDARY_BYTES} characters.")
    inputs: Inputs = {}
    whole = body if isinstance(body, bytes | bytearray) else bytes(body)
    for number, part in enumerate(multipart.parts(whole, boundary)):
        if number >= MAX_FIELDS:
            raise BadRequest(f"The form has more than {MAX_FIELDS} fields.")
        name, content_type = _described(part.headers)
        inputs[name] = Input(name, content_type.decode("latin-1"), part.value)
    return inputs


def _described(headers: dict[bytes, bytes]) -> tuple[str, bytes]:
    """Returns the name and the content type of a part. As in TorchServe, only files have a type."""
    disposition = headers.get(b"content-disposition", b"").decode("latin-1")
    _, options = parse_options_header(disposition)
    name = options.get(b"name")
    if name is None:
        raise BadRequest("A part of the multipart form has no name.")
    is_file = b"filename" in options or "filename*" in disposition.lower()
    return name.decode("utf-8", "replace"), headers.get(b"content-type", b"") if is_file else b""
