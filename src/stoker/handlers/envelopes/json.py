"""`JSONEnvelope`: ``{"instances": [...]}`` per request in, ``{"predictions": [...]}`` out.

The handler gets the instances of the whole batch as one flat list, and each request gets its own slice back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from stoker.handlers.envelopes.base import BaseEnvelope, json_body_of, list_member


class JSONEnvelope(BaseEnvelope):
    def __init__(self, handle_fn: Callable[[Any, Any], Any]) -> None:
        super().__init__(handle_fn)
        self._lengths: list[int] = []

    def parse_input(self, data: Any) -> Any:
        batches = [list_member(json_body_of(row), "instances") for row in data]
        self._lengths = [len(batch) for batch in batches]
        return [_decoded(instance) for batch in batches for instance in batch]

    def format_output(self, data: Any) -> Any:
        """A string of JSON per request."""
        replies, start = [], 0
        for length in self._lengths:
            replies.append(json.dumps({"predictions": data[start : start + length]}))
            start += length
        return replies


def _decoded(instance: Any) -> Any:
    """``{"b64": text}`` stands for bytes, as the instance or as one of its members."""
    if not isinstance(instance, dict):
        return instance
    if "b64" in instance:
        return base64.b64decode(instance["b64"])
    return {key: _decoded(value) for key, value in instance.items()}
