"""Answers a number with as many bytes, and everything else with nothing: small requests, large answers."""

from __future__ import annotations

from typing import Any


class Ample:
    def initialize(self, context: Any) -> None:
        self.context = context

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        return [answer(bytes(row.get("data") or row.get("body") or b"")) for row in data]


def answer(payload: bytes) -> bytes:
    return bytes(int(payload)) if payload.isdigit() and len(payload) < 9 else b"-"
