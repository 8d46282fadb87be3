"""Defines the type of binary data, in a file of its own so that workers can import it cheaply."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
