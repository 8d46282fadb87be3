"""Decodes large JSON documents in steps: lists, which are what takes long in them, are cut at commas. PURE."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import msgspec

from stoker.core.buffer import Buffer
from stoker.frontend.http import json_limits

STEP_BYTES = 64 << 10
"""About as much is decoded in one step."""
_DEPTH = 2
"""Levels of objects around the data of a tensor: the document, and the tensors in a list."""
_MOST_OBJECTS = 1000
"""Objects in a list that are decoded one by one."""
_SPACE = b" \t\r\n"
_TEXT = re.compile(rb'"[^"]*"')
_BACKSLASH, _QUOTE = rb"\\", rb"\""

decode = msgspec.json.Decoder().decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class _HasObjects(Exception):
    """A list has objects in it: a cut at one of their commas would break them."""


def steps(text: Buffer, depth: int = _DEPTH) -> Generator[None, None, Any]:
    """Returns what `decode` does, and yields between steps.

    Raises: msgspec.DecodeError, RecursionError; BadRequest: a piece that cannot be cut has too many values.
    """
    if len(text) <= STEP_BYTES:
        return decode(text)
    whole = bytes(text).strip(_SPACE)
    yield
    if whole.startswith(b"["):
        with suppress(_HasObjects):
            return (yield from _list(whole))
    if depth and whole.startswith(b"{"):
        return (yield from _object(_fields(whole), depth))
    if depth and whole.startswith(b"[") and whole.count(b"{") <= _MOST_OBJECTS:
        with suppress(msgspec.ValidationError):  # there is something else in it
            objects = _objects(whole)
            found = []
            for fields in objects:
                found.append((yield from _object(fields, depth)))
            return found
    json_limits.check_document(whole, share=json_limits.AT_ONCE)
    return decode(whole)


def _object(fields: dict[str, msgspec.Raw], depth: int) -> Generator[None, None, dict[str, Any]]:
    found = {}
    for name, value in fields.items():
        found[name] = yield from steps(memoryview(value), depth - 1)
    return found


def _list(text: bytes) -> Generator[None, None, Any]:
    """Decodes a list piece by piece: those around a piece are opened before it, and those still open closed after.

    Raises: msgspec.DecodeError, RecursionError; _HasObjects
    """
    found: list[Any] = []
    marks = text.replace(_BACKSLASH, b"__").replace(_QUOTE, b"__") if b"\\" in text else text
    at = depth = 0
    while at <= len(text):
        end = marks.find(b",", at + STEP_BYTES)
        if end >= 0 and marks.count(b'"', at, end) % 2:  # the comma is in a text
            closed = marks.find(b'"', end)
            end = marks.find(b",", closed) if closed >= 0 else -1
        stop, around = end if end >= 0 else len(text), depth
        bare = _TEXT.sub(b'""', marks[at:stop]).strip(_SPACE)
        if b"{" in bare:
            raise _HasObjects
        if not bare or (at and bare.startswith(b"]")) or (end >= 0 and bare.endswith(b"[")):
            raise msgspec.DecodeError("a comma without a value beside it")
        depth += bare.count(b"[") - bare.count(b"]")
        _append(found, decode(b"[%b%b%b]" % (b"[" * around, text[at:stop], b"]" * depth)), around)
        at = stop + 1
        yield
    if depth or len(found) != 1:
        raise msgspec.DecodeError("brackets do not match")
    return found[0]


def _append(found: list[Any], more: list[Any], depth: int) -> None:
    """Appends ``more``, whose first lists continue the last ones of ``found``, ``depth`` of them."""
    for _ in range(depth):
        last, first = found[-1], more[0]
        found += more[1:]
        found, more = last, first
    found += more
