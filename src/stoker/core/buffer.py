"""Defines the type of binary data, in a file of its own so that workers can import it cheaply."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview

EXACT = frozenset({bytes, bytearray})
"""Types whose `len` is the number of bytes. A subclass may lie, and a view counts its elements."""


def exact(data: Buffer) -> bytes | bytearray:
    """Copies data of a type that is not in `EXACT`."""
    return data if type(data) in EXACT else memoryview(data).tobytes()  # type: ignore[return-value]
