"""The one name that both sides of the worker border share with the nouns: it costs a worker no import."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
