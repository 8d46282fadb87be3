"""Counts what a JSON document has before it is parsed, without parsing it. PURE.

The parser can make an object of a hundred bytes from two bytes of JSON.
"""

from __future__ import annotations

import re

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


def check_document(text: Buffer) -> None:
    """Raises BadRequest: there is too much of something."""
    size = len(text)
    if size <= FEW_BYTES:
        return
    whole = text if isinstance(text, bytes | bytearray) else bytes(text)
    texts = most(MOST_TEXTS, size) + 2 * MOST_FIELDS  # names are texts too, and so may be the values of parameters
    lists, values = most(MOST_LISTS, size), most(MOST_VALUES, size)
    if _fits(whole, texts, lists, values):
        return
    # Texts may contain any of these characters: they are left out of the exact count.
    for escaped in _ESCAPED:
        whole = whole.replace(escaped, b"")
    check_count(whole.count(b'"') // 2, texts, "texts")
    whole = _TEXT.sub(b"", whole)
    if whole.count(b":") > MOST_FIELDS:
        raise too_many_fields()
    check_count(whole.count(b"[") + whole.count(b"{"), lists, "lists and objects")
    check_count(whole.count(b","), values, "values")


def _fits(text: bytes | bytearray, texts: int, lists: int, values: int) -> bool:
    return (
        text.count(b":") <= MOST_FIELDS
        and text.count(b'"') <= 2 * texts
        and text.count(b"[") + text.count(b"{") <= lists
        and text.count(b",") <= values
    )
