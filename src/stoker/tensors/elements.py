"""Converts the elements of a tensor between raw bytes and Python values, without numpy. PURE.

Raw bytes are little-endian and in row order, whatever the machine.  Functions raise ValueError with a sentence for the
client when data does not fit.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from stoker.core.buffer import EXACT, Buffer, exact
from stoker.tensors.datatypes import BOOL, BYTES, Datatype

MAX_DIMENSIONS = 32
MOST_EMPTY = 10_000
"""Entries of a shape without elements: they would become as many empty lists, of no data."""

_LENGTH = struct.Struct("<I")
_CUT_LENGTH, _CUT_ELEMENT = "ends within the length of an element", "ends within an element"
_SLICE = 1 << 16
_SWAP = sys.byteorder == "big"


# ------------------------------------------------------------------------------------------------- shapes


def count_of(shape: Sequence[int]) -> int:
    """Returns the number of elements. Raises ValueError for a shape that is invalid or absurdly large."""
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"has more than {MAX_DIMENSIONS} dimensions")
    count = others = 1
    for size in shape:
        if size < 0:
            raise ValueError("has a negative dimension")
        count *= size
        others *= size or 1
    if not count and others > MOST_EMPTY:
        raise ValueError("has no elements and is too large")
    return count


def nested(values: list[Any], shape: Sequence[int]) -> Any:
    """Nests a flat list by its shape; the only value, where the shape has no dimension."""
    if not shape:
        return values[0]
    for size in reversed(shape[1:]):
        count = len(values) // size if size else _empty_lists(shape, values)
        values = [values[at * size : (at + 1) * size] for at in range(count)]
    return values


def _empty_lists(shape: Sequence[int], values: list[Any]) -> int:
    """Returns how many lists of no elements stand in the innermost dimension of size 0."""
    count = 1
    for size in shape:
        if not size:
            break
        count *= size
    return len(values) if values else count


def flat(value: Any, count: int | None) -> list[Any]:
    """Flattens nested lists. Raises ValueError if they are ragged, or have other than ``count`` elements; None: any
    number."""
    while value and isinstance(value[0], list):
        if set(map(type, value)) != {list}:
            raise ValueError("is a mixture of lists and elements")
        if len(set(map(len, value))) != 1:
            raise ValueError("has lists of different lengths")
        value = list(chain.from_iterable(value))
    if count is not None and len(value) != count:
        raise ValueError(f"has {len(value)} elements where its shape has {count}")
    return value  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------- checks


def is_open(shape: Sequence[int]) -> bool:
    """Tells whether one size is -1, which stands for what the data has, as in numpy."""
    return list(shape).count(-1) == 1


def closed(shape: Sequence[int], elements: int) -> Sequence[int]:
    """Returns an open shape with the size that the data has. Raises ValueError: it has none that fits."""
    others = count_of([size for size in shape if size != -1])
    if not others or elements % others:
        raise ValueError(f"has {elements} elements, which do not fit the shape {list(shape)}")
    return [elements // others if size == -1 else size for size in shape]


def elements_in(datatype: Datatype, data: Buffer, most: int = sys.maxsize) -> int:
    """Counts the elements; those of BYTES until they are more than ``most``. Raises ValueError: one is cut off."""
    return len(data) // datatype.size if datatype.size else _texts_in(data, most)


def _texts_in(data: Buffer, most: int) -> int:
    unpack, at, end, found = _LENGTH.unpack_from, 0, len(data), 0
    try:
        while at < end and found <= most:
            at += 4 + unpack(data, at)[0]
            found += 1
    except struct.error:
        raise ValueError(_CUT_LENGTH) from None
    if at > end:
        raise ValueError(_CUT_ELEMENT)
    return found


def check(datatype: Datatype, shape: Sequence[int], data: Buffer, found: int) -> None:
    """Raises ValueError unless the data, of ``found`` elements, has exactly those of the shape."""
    count = count_of(shape)
    if datatype.size:
        if count * datatype.size != len(data):
            raise ValueError(f"has {len(data)} bytes where its shape has {count * datatype.size}")
        if datatype.name == BOOL and bytes(data).strip(b"\x00\x01"):
            raise ValueError(f"has elements that are not {BOOL}")
        return
    if found != count:
        raise ValueError(f"has {found} elements where its shape has {count}")


def _spans(data: Buffer) -> Iterator[tuple[int, int]]:
    """Yields start and end of each element of BYTES."""
    at, end = 0, len(data)
    while at < end:
        if at + 4 > end:
            raise ValueError(_CUT_LENGTH)
        start = at + 4
        at = start + _LENGTH.unpack_from(data, at)[0]
        if at > end:
            raise ValueError(_CUT_ELEMENT)
        yield start, at


# ------------------------------------------------------------------------------------------- raw to values


def values_of(datatype: Datatype, data: Buffer) -> list[Any]:
    """Returns the elements as Python values; of BYTES as bytearrays."""
    if datatype.code:
        if datatype.name == BOOL:
            return list(map(bool, data))
        return numbers(datatype.code, data).tolist()
    if datatype.name == BYTES:
        view = memoryview(data)
        return [bytearray(view[start:end]) for start, end in _spans(data)]
    if datatype.name == "FP16":
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    return numbers("f", _widened(data)).tolist()


def numbers(code: str, data: Buffer) -> array[Any]:
    found = array(code)
    found.frombytes(data)
    if _SWAP:
        found.byteswap()
    return found


def _widened(data: Buffer) -> bytearray:
    """Converts BF16 to FP32, of which it is the upper half."""
    wide = bytearray(2 * len(data))
    wide[2::4] = data[0::2]
    wide[3::4] = data[1::2]
    return wide


# ------------------------------------------------------------------------------------------- values to raw


def raw_of(datatype: Datatype, values: Sequence[Any]) -> bytes:
    """Returns the bytes of the elements. Raises ValueError: an element is not of the datatype."""
    try:
        if datatype.name == BYTES:
            return joined(values)
        if datatype.name == BOOL:
            return _booleans(values)
        if datatype.name == "BF16":
            return _narrowed(values)
        return _packed(datatype.code or "e", values)
    except (TypeError, OverflowError, ValueError, struct.error):
        raise ValueError(f"has elements that are not {datatype.name}") from None


def _packed(code: str, values: Sequence[Any]) -> bytes:
    """Converts thousands of elements at once: protobuf hands slices out as lists, twice as fast as one by one."""
    if len(values) <= _SLICE:
        return struct.pack(f"<{len(values)}{code}", *values)
    slices = (values[at : at + _SLICE] for at in range(0, len(values), _SLICE))
    return b"".join([struct.pack(f"<{len(some)}{code}", *some) for some in slices])


def _booleans(values: Sequence[Any]) -> bytes:
    found = bytes(values[:])
    if found.strip(b"\x00\x01"):
        raise TypeError
    return found


def _narrowed(values: Sequence[float]) -> bytes:
    """Converts to BF16: the upper halves of FP32, rounded to even. All of them are one long number, whose digits of 32
    bits are rounded at once."""
    if math.isnan(sum(values)):
        values = [math.nan if math.isnan(value) else value for value in values]  # others could carry into the next one
    wide, ones = _packed("f", values), int.from_bytes(b"\x01\x00\x00\x00" * len(values), "little")
    bits = int.from_bytes(wide, "little")
    rounded = (bits + ones * 0x7FFF + (bits >> 16 & ones)).to_bytes(len(wide), "little")
    narrow = bytearray(2 * len(values))
    narrow[0::2], narrow[1::2] = rounded[2::4], rounded[3::4]
    return bytes(narrow)


def joined(elements: Iterable[Buffer | str]) -> bytes:
    """Writes each element of BYTES after its length; strings as UTF-8."""
    pieces = [element.encode() if isinstance(element, str) else element for element in elements]
    if not EXACT.issuperset(map(type, pieces)):
        pieces = list(map(exact, pieces))
    lengths = map(_LENGTH.pack, map(len, pieces))
    return b"".join(chain.from_iterable(zip(lengths, pieces, strict=True)))


# --------------------------------------------------------------------------------------------------- rows


def rows_of(datatype: Datatype, shape: Sequence[int], data: Buffer) -> Iterator[Buffer]:
    """Yields the data of each row: of each entry of the first dimension. The data must have passed `check`."""
    view, rows = memoryview(data), shape[0]
    if datatype.size:
        size = len(data) // rows if rows else 0
        for row in range(rows):
            yield view[row * size : (row + 1) * size]
        return
    elements, each = _spans(data), count_of(shape[1:])
    for _ in range(rows):
        if not each:
            yield b""
            continue
        first = last = next(elements)
        for _ in range(each - 1):
            last = next(elements)
        yield view[first[0] - 4 : last[1]]
