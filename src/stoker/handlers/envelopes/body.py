"""`BodyEnvelope`: the handler gets the values themselves instead of rows."""

from __future__ import annotations

from typing import Any

from stoker.handlers.envelopes.base import BaseEnvelope, body_of


class BodyEnvelope(BaseEnvelope):
    def parse_input(self, data: Any) -> Any:
        return [body_of(row) for row in data]

    def format_output(self, data: Any) -> Any:
        return data
