"""Parses multipart forms as browsers, devices and scripts write them.  PURE.

More lenient than the RFCs where the meaning is clear: line breaks may be bare line feeds, text may stand before the
first boundary, the end may lack its dashes.  A form without its end is refused, because part of it is lost.
Invariants: linear time, whatever the body; values are views of the body, not copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from stoker.errors import BadRequest

_MOST_HEADER_BYTES = 8192
_MOST_LOOKALIKES = 1000
_BLANKS = re.compile(rb"\s*")
_TAIL = re.compile(rb"--|-?\Z|[ \t]{0,100}(?:\r?\n|\Z)")
"""Matches what may follow the boundary: the end mark, the end of a truncated body, or a line end."""
_HEADERS_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")


class Part(NamedTuple):
    """``headers``: by lower-case name."""

    headers: dict[bytes, bytes]
    value: memoryview


class _Delimiter(NamedTuple):
    """``begin``: where the line break before the boundary starts; it belongs to the delimiter, not to the value."""

    begin: int
    end: int
    last: bool


def parts(body: bytes | bytearray, boundary: bytes) -> Iterator[Part]:
    """Splits the form. Raises BadRequest if the form cannot be parsed further."""
    view = memoryview(body)
    mark = b"\n--" + boundary
    delimiter = _first(body, mark)
    while not delimiter.last:
        headers, start = _headers(body, delimiter.end)
        delimiter = _next(body, mark, start - 1, "The multipart form has no end.")
        yield Part(headers, view[start : max(start, delimiter.begin)])


def _first(body: bytes | bytearray, mark: bytes) -> _Delimiter:
    blanks = _BLANKS.match(body)
    start = blanks.end() if blanks else 0
    if body.startswith(mark[1:], start):
        delimiter = _delimiter(body, start, start + len(mark) - 1)
        if delimiter is not None:
            return delimiter
    return _next(body, mark, 0, "The multipart form does not contain its boundary.")


def _next(body: bytes | bytearray, mark: bytes, start: int, missing: str) -> _Delimiter:
    at = body.find(mark, start)
    for _ in range(_MOST_LOOKALIKES):
        if at < 0:
            break
        begin = at - 1 if at > start and body[at - 1] == 0x0D else at
        delimiter = _delimiter(body, begin, at + len(mark))
        if delimiter is not None:
            return delimiter
        at = body.find(mark, at + 1)
    raise BadRequest(missing)


def _delimiter(body: bytes | bytearray, begin: int, end: int) -> _Delimiter | None:
    """Finds the delimiter; None: other content starts like the boundary."""
    tail = _TAIL.match(body, end)
    if tail is None:
        return None
    return _Delimiter(begin, tail.end(), tail.group() == b"--" or tail.end() == len(body))


def _headers(body: bytes | bytearray, start: int) -> tuple[dict[bytes, bytes], int]:
    """Returns the headers of the part that starts there, and where its value starts."""
    end = _HEADERS_END.search(body, start - 1, start + _MOST_HEADER_BYTES)
    if end is None:
        raise BadRequest("The headers of a part of the multipart form have no end, or are too long.")
    headers = {}
    for line in _FOLD.sub(b" ", bytes(body[start : max(start, end.start())])).split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers, end.end()
