"""Converts a handler's outputs to bytes, and asks its stopping criteria whether more will follow. PURE.

Recognises torch without importing it.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from stoker.core.buffer import Buffer, exact

_RAW = (bytes, bytearray)  # a tuple, because ``bytes | bytearray`` builds a union at each call


class Unserialisable(Exception):
    """The value cannot be converted to bytes."""


def serialise(value: Any) -> Buffer:
    """Converts to bytes: text to UTF-8, tensors by `torch.save`, all else to indented JSON. Raises Unserialisable."""
    if isinstance(value, _RAW):
        return exact(value)
    try:
        if isinstance(value, str):
            return value.encode("utf-8")
    except ValueError as error:
        raise Unserialisable(str(error)) from error
    if _is_tensor(value):
        return _saved(value)
    try:
        return json.dumps(value, indent=2).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Unserialisable(str(error)) from error


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    return isinstance(tensor, type) and isinstance(value, tensor)


def _saved(tensor: Any) -> Buffer:
    file = io.BytesIO()
    sys.modules["torch"].save(tensor, file)
    return file.getbuffer()


def is_last(criteria: Any, row: int, output: Any) -> bool | None:
    """Asks a handler's stopping criterion: True: the answer ends with this output. False: more parts come. None: it is
    the whole answer.

    ``criteria``: ``context.stopping_criteria``, anything that is indexed by row; nothing, or an empty one: none.

    Raises: Exception: there is none for this row, or it raises.
    """
    if not criteria:
        return None
    verdict = criteria[row](output)
    return None if verdict is None else bool(verdict)
