"""`BaseEnvelope`: wraps a handler's entry point between `parse_input` and `format_output`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from stoker.handlers.util import PredictionException


class BaseEnvelope(ABC):
    """Defines one body format: subclasses implement reading and writing."""

    def __init__(self, handle_fn: Callable[[Any, Any], Any]) -> None:
        self._handle_fn = handle_fn
        self.context: Any = None

    def handle(self, data: Any, context: Any) -> Any:
        self.context = context
        if data:
            data = self.parse_input(data)
        results = self._handle_fn(data, context)
        return self.format_output(results) if results else results

    def handle_input(self, data: Any, context: Any) -> Any:
        """Reads the format and does not write it: for the first node of a workflow.

        Returns one output for each request: what the handler made of its only row, else the list of all.
        """
        self.context = context
        results = self._handle_fn(self.parse_input(data) if data else data, context)
        return self._by_request(results, len(data)) if data and isinstance(results, list) else results

    def handle_output(self, data: Any, context: Any) -> Any:
        """Writes the format and does not read it: for the last node of a workflow. Requests are answered one by one."""
        self.context = context
        results = self._handle_fn(data, context)
        return [self.format_output([result])[0] for result in results] if isinstance(results, list) else results

    def _by_request(self, results: list[Any], requests: int) -> list[Any]:
        return results if len(results) == requests else [results]

    @abstractmethod
    def parse_input(self, data: Any) -> Any: ...

    @abstractmethod
    def format_output(self, data: Any) -> Any: ...


def body_of(row: dict[str, Any]) -> Any:
    """Returns what the client sent, under either key."""
    return row.get("data") or row.get("body")


def decoded(body: Any) -> Any:
    """Decodes a body that arrived as bytes or text as JSON; raises a client error if it is not JSON."""
    if not isinstance(body, bytes | bytearray | memoryview | str):
        return body
    try:
        return json.loads(bytes(body) if isinstance(body, memoryview) else body)
    except ValueError as error:
        raise PredictionException("The request body is not JSON", 400) from error


def json_body_of(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON object that the client sent, decoded or not; raises a client error if it is something else."""
    body = decoded(body_of(row))
    if not isinstance(body, dict):
        raise PredictionException("The request body is not a JSON object", 400)
    return body


def list_member(body: dict[str, Any], name: str) -> list[Any]:
    """Returns a list that the format requires; raises a client error if it is missing."""
    member = body.get(name)
    if not isinstance(member, list):
        raise PredictionException(f"The request body has no '{name}' list", 400)
    return member
