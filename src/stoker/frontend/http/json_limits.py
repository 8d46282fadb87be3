"""Limits how many values a JSON document has, by counting them before it is parsed. PURE.

Two bytes of JSON can become an object of a hundred bytes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from stoker.core.buffer import Buffer
from stoker.frontend.request_limits import (
    FEW_BYTES,
    MOST_FIELDS,
    MOST_LISTS,
    MOST_TEXTS,
    MOST_VALUES,
    check_count,
    most,
    too_many_fields,
)

AT_ONCE = 4
"""A quarter of the lists and values may be in what cannot be decoded in steps."""
_TEXT = re.compile(rb'"[^"]*"?')
_ESCAPED = (rb"\\", rb"\"")
_STEP_BYTES = 1 << 20
_Utf8 = codecs.getincrementaldecoder("utf-8")


class _Limits(NamedTuple):
    texts: int
    lists: int
    values: int


def check_document(text: Buffer, *, share: int = 1) -> None:
    """Checks a document in UTF-8. In other encodings, the bytes that are counted may be other characters.

    ``share``: divides the limits of lists and values, for a slower parser.

    Raises BadRequest: there is too much of something.
    """
    size = len(text)
    if size <= FEW_BYTES:
        return
    whole = text if isinstance(text, bytes | bytearray) else bytes(text)
    limits = _limits(size, share)
    if not _fits(_counts(whole), limits):
        _check_exactly(whole, limits)


def check_in_steps(text: Buffer) -> Iterator[None]:
    """Checks a large document as `check_document` does, and yields between steps.

    Raises: BadRequest; UnicodeDecodeError: it is not UTF-8, of which what is decoded later may not be all
    """
    size, decoder = len(text), _Utf8()
    counts: Sequence[int] = (0, 0, 0, 0)
    for at in range(0, size, _STEP_BYTES):
        piece = bytes(text[at : at + _STEP_BYTES])
        if not piece.isascii() or decoder.getstate()[0]:  # ASCII needs no decoding
            decoder.decode(piece)
        more = _counts(piece)
        counts = list(map(sum, zip(counts, more, strict=True)))
        yield
    decoder.decode(b"", final=True)
    limits = _limits(size, 1)
    if not _fits(counts, limits):
        _check_exactly(bytes(text), limits)


def parse(text: Buffer) -> Any:
    """Parses with Python's json: also NaN, Infinity, numbers of any size, a byte order mark. It is slower.

    Raises: BadRequest: there is too much of something; ValueError, RecursionError: it is not JSON in UTF-8.
    """
    check_document(text, share=AT_ONCE)
    return json.loads(str(text, "utf-8-sig"))


def _limits(size: int, share: int) -> _Limits:
    texts = most(MOST_TEXTS, size) + 2 * MOST_FIELDS  # names are texts too, and so may be the values of parameters
    return _Limits(texts, most(MOST_LISTS, size) // share, most(MOST_VALUES, size) // share)


def _counts(text: bytes | bytearray) -> Sequence[int]:
    """Returns how many names, quotation marks, lists and commas there may be."""
    return text.count(b":"), text.count(b'"'), _lists_in(text), text.count(b",")


def _fits(counts: Sequence[int], limits: _Limits) -> bool:
    names, marks, lists, commas = counts
    fit = names <= MOST_FIELDS and marks <= 2 * limits.texts
    return fit and lists <= limits.lists and lists + commas <= limits.values


def _check_exactly(whole: bytes | bytearray, limits: _Limits) -> None:
    """Leaves out texts, which may contain any of these characters."""
    for escaped in _ESCAPED:
        whole = whole.replace(escaped, b"")
    check_count(whole.count(b'"') // 2, limits.texts, "texts")
    whole = _TEXT.sub(b"", whole)
    if whole.count(b":") > MOST_FIELDS:
        raise too_many_fields()
    found = _lists_in(whole)
    check_count(found, limits.lists, "lists and objects")
    check_count(found + whole.count(b","), limits.values, "values")


def _lists_in(text: bytes | bytearray) -> int:
    return text.count(b"[") + text.count(b"{")
