"""Counts the fields of a message before protobuf makes objects of them. PURE.

A field of two bytes becomes an object of a hundred.  Values are skipped, so that counting takes no longer for large
values than for small ones.  Counting stops where the message is invalid: protobuf refuses it.
"""

from __future__ import annotations

from collections.abc import Collection

from stoker.frontend.grpc.varint import read_varint
from stoker.frontend.request_limits import MOST_FIELDS, too_many_fields

_VARINT, _EIGHT_BYTES, _LENGTH, _GROUP, _GROUP_END, _FOUR_BYTES = range(6)
_SIZES = {_EIGHT_BYTES: 8, _GROUP: 0, _GROUP_END: 0, _FOUR_BYTES: 4}
_LONGEST_VARINT = 10


def check_fields(message: bytes | bytearray, nested: Collection[int] = ()) -> None:
    """Raises BadRequest: too many fields. ``nested``: tags of embedded messages whose fields count too."""
    _left_of(MOST_FIELDS, message, 0, len(message), nested)


def _left_of(left: int, message: bytes | bytearray, at: int, end: int, nested: Collection[int]) -> int:
    """Counts the fields from ``at`` to ``end``. Returns how many of ``left`` are left. Raises BadRequest: too many."""
    while at < end:
        if not left:
            raise too_many_fields()
        left -= 1
        tag = message[at]
        at += 1
        if tag > 0x7F:
            found = read_varint(message, at - 1, _LONGEST_VARINT)
            if found is None:
                break
            tag, at = found
        kind = tag & 7
        if kind in (_VARINT, _LENGTH):
            found = read_varint(message, at, _LONGEST_VARINT)
            if found is None:
                break
            size, at = found
            if kind == _LENGTH:
                stop = at + size
                if stop > end:
                    break
                if tag in nested:
                    left = _left_of(left, message, at, stop, ())
                at = stop
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            break
    return left
