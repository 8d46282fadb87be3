"""The type of binary data, apart from the nouns: workers import it at no cost."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
