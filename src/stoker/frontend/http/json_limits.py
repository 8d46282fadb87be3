"""Limits how many values a JSON document has, by counting them before it is parsed. PURE.

Two bytes of JSON can become an object of a hundred bytes.
"""

from __future__ import annotations

import json
import re
from typing import Any

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

_TEXT = re.compile(rb'"[^"]*"?')
_ESCAPED = (rb"\\", rb"\"")


def check_document(text: Buffer, *, share: int = 1) -> None:
    """Checks a document in UTF-8. In other encodings, the bytes that are counted may be other characters.

    ``share``: divides the limits of lists and values, for a slower parser.

    Raises BadRequest: there is too much of something.
    """
    size = len(text)
    if size <= FEW_BYTES:
        return
    whole = text if isinstance(text, bytes | bytearray) else bytes(text)
    texts = most(MOST_TEXTS, size) + 2 * MOST_FIELDS  # names are texts too, and so may be the values of parameters
    lists, values = most(MOST_LISTS, size) // share, most(MOST_VALUES, size) // share
    if _fits(whole, texts, lists, values):
        return
    # Texts may contain any of these characters: they are left out of the exact count.
    for escaped in _ESCAPED:
        whole = whole.replace(escaped, b"")
    check_count(whole.count(b'"') // 2, texts, "texts")
    whole = _TEXT.sub(b"", whole)
    if whole.count(b":") > MOST_FIELDS:
        raise too_many_fields()
    found = _lists_in(whole)
    check_count(found, lists, "lists and objects")
    check_count(found + whole.count(b","), values, "values")


def parse(text: Buffer) -> Any:
    """Parses with Python's json: also NaN, Infinity, numbers of any size, a byte order mark. It is slower.

    Raises: BadRequest: there is too much of something; ValueError, RecursionError: it is no JSON in UTF-8.
    """
    check_document(text, share=2)
    return json.loads(str(text, "utf-8-sig"))


def _fits(text: bytes | bytearray, texts: int, lists: int, values: int) -> bool:
    found = _lists_in(text)
    return (
        text.count(b":") <= MOST_FIELDS
        and text.count(b'"') <= 2 * texts
        and found <= lists
        and found + text.count(b",") <= values
    )


def _lists_in(text: bytes | bytearray) -> int:
    return text.count(b"[") + text.count(b"{")
