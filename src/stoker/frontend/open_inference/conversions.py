"""Converts the values of a large request later than it is parsed, thousands at a time. PURE."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from stoker.errors import BadRequest
from stoker.tensors.datatypes import Datatype

_SLICE = 1 << 14


class _Values(NamedTuple):
    name: str
    datatype: Datatype
    values: Sequence[Any]
    convert: Callable[[Datatype, Sequence[Any]], bytes]
    contents: bytearray


class Conversions:
    def __init__(self) -> None:
        self._open: deque[_Values] = deque()

    def add(
        self,
        name: str,
        datatype: Datatype,
        values: Sequence[Any],
        convert: Callable[[Datatype, Sequence[Any]], bytes],
    ) -> bytearray:
        """Returns what `steps` fills. ``convert`` raises ValueError."""
        contents = bytearray()
        self._open.append(_Values(name, datatype, values, convert, contents))
        return contents

    def steps(self) -> Iterator[None]:
        """Raises BadRequest."""
        while self._open:
            name, datatype, values, convert, contents = self._open.popleft()
            for at in range(0, len(values), _SLICE):
                try:
                    contents += convert(datatype, values[at : at + _SLICE])
                except ValueError as error:
                    raise BadRequest(f"Input '{name}' {error}.") from None
                yield
