"""`JSONEnvelope`: ``{"instances": [...]}`` per request in, ``{"predictions": [...]}`` out.

The handler gets the instances of the whole batch as one flat list, and each request gets its own slice back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from stoker.handlers.envelopes.base import BaseEnvelope, body_of, decoded, json_body_of, list_member
from stoker.handlers.util import PredictionException


class JSONEnvelope(BaseEnvelope):
    def __init__(self, handle_fn: Callable[[Any, Any], Any]) -> None:
        super().__init__(handle_fn)
        self._lengths: list[int] = []

    def parse_input(self, data: Any) -> Any:
        batches = [self._from_json(row) for row in data]
        self._lengths = [len(batch) for batch in batches]
        return [instance for batch in batches for instance in batch]

    def format_output(self, data: Any) -> Any:
        return self._batch_to_json(data, self._lengths)

    def handle_output(self, data: Any, context: Any) -> Any:
        self._lengths = [1]
        return super().handle_output(data, context)

    def _by_request(self, results: list[Any], requests: int) -> list[Any]:
        return [each[0] if len(each) == 1 else each for each in _slices(results, self._lengths)]

    def _from_json(self, data: dict[str, Any]) -> list[Any]:
        """Returns the instances of one request, from its body, or from the row itself if the form has a field of that
        name."""
        is_form = "instances" in data and not body_of(data)
        body = {"instances": decoded(data["instances"])} if is_form else json_body_of(data)
        instances = list_member(body, "instances")
        return [_plain(each) for each in instances] if instances and isinstance(instances[0], dict) else instances

    def _batch_to_json(self, batch: Sequence[Any], lengths: Sequence[int]) -> list[str]:
        """Returns a JSON string per request."""
        return [self._to_json(each) for each in _slices(batch, lengths)]

    def _to_json(self, output: Any) -> str:
        return json.dumps({"predictions": output})


def _slices(batch: Sequence[Any], lengths: Sequence[int]) -> list[Sequence[Any]]:
    """Returns what belongs to each request."""
    slices, start = [], 0
    for length in lengths:
        slices.append(batch[start : start + length])
        start += length
    return slices


def _plain(instance: Any) -> Any:
    """Decodes ``{"b64": text}`` to bytes, as the instance or as one of its members."""
    if not isinstance(instance, dict):
        return instance
    if _is_base64(instance):
        return _bytes_of(instance)
    return {key: _bytes_of(value) if _is_base64(value) else value for key, value in instance.items()}


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"]


def _bytes_of(value: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(value["b64"])
    except (ValueError, TypeError) as error:
        raise PredictionException("The value of 'b64' is not base64", 400) from error
