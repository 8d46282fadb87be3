"""Streams 1,000 parts of 32 bytes; each starts with its number, so that lost or repeated parts are noticed."""

from __future__ import annotations

from typing import Any

from ts.handler_utils.utils import send_intermediate_predict_response

COUNT, SIZE = 1000, 32


def part(number: int) -> str:
    return f"{number:06d}".ljust(SIZE, ".")


class Parts:
    def initialize(self, context: Any) -> None:
        self.context = context

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        rows = len(data)
        for number in range(COUNT - 1):
            send_intermediate_predict_response([part(number)] * rows, context.request_ids, "ok", 200, context)
        return [part(COUNT - 1)] * rows
