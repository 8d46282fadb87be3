"""Answers each row with a digest of its payload: almost no work, but an answer that only this payload has."""

from __future__ import annotations

import hashlib
from typing import Any

WHOLE_BYTES = 1 << 20
SAMPLES, SAMPLE_BYTES = 64, 64


def digest(payload: bytes | bytearray | memoryview) -> str:
    """Hashes everything, or length and 64 samples if hashing would dominate the measured time."""
    if len(payload) <= WHOLE_BYTES:
        return hashlib.sha256(payload).hexdigest()
    view, step = memoryview(payload), len(payload) // SAMPLES
    found = hashlib.sha256(str(len(payload)).encode())
    for start in range(0, len(payload) - SAMPLE_BYTES, step):
        found.update(view[start : start + SAMPLE_BYTES])
    found.update(view[-SAMPLE_BYTES:])
    return found.hexdigest()


class Digest:
    """Answers the rows of a batch independently."""

    most_rows: int | None = None

    def initialize(self, context: Any) -> None:
        self.context = context

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        if self.most_rows is not None and len(data) > self.most_rows:
            raise AssertionError(f"{len(data)} rows in one call, where {self.most_rows} was agreed on")
        return [digest(row.get("data") or row.get("body") or b"") for row in data]
