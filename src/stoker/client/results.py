"""Results of calls: answers of models and workflows, and one exception for everything that can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc


class Prediction(NamedTuple):
    """One answer, or one part of a stream.

    ``headers``: what the handler set as response headers (trailing metadata; empty for the parts of a stream).
    ``sequence_id``: of a model that keeps state.
    """

    data: bytes
    headers: Mapping[str, str] = {}
    sequence_id: str = ""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parses the answer. Raises ValueError if the handler did not answer with JSON."""
        return json.loads(self.data)


class SequencePart(NamedTuple):
    """One part of an answer in a sequence. ``error``: what went wrong with the request instead; the call goes on."""

    sequence_id: str
    data: bytes
    error: CallError | None = None

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class NodeTrace(NamedTuple):
    """Timings of a node of a workflow. ``queue_s`` and ``run_s``: seconds of its last attempt, waiting and running."""

    attempts: int
    queue_s: float
    run_s: float


class WorkflowPrediction(NamedTuple):
    """The answer of a workflow. ``outputs``: bytes by node. ``trace``: by node, of all that ran."""

    outputs: Mapping[str, bytes]
    trace: Mapping[str, NodeTrace] = {}
    headers: Mapping[str, str] = {}

    @property
    def data(self) -> bytes:
        """Returns the only output. Raises ValueError where there are several."""
        if len(self.outputs) != 1:
            raise ValueError(f"the workflow answered with {len(self.outputs)} outputs: {', '.join(self.outputs)}")
        return next(iter(self.outputs.values()))

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parses the one output. Raises ValueError if it is not JSON."""
        return json.loads(self.data)


class WorkflowPart(NamedTuple):
    """One part of one node's output. ``error``: why the call is about to fail, "" in all other parts."""

    node: str
    data: bytes
    last: bool = False
    error: str = ""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class CallError(Exception):
    """A call failed. ``code`` is the gRPC status, ``reason`` TorchServe's class name where the server gave one."""

    def __init__(self, code: grpc.StatusCode, message: str, reason: str = "") -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason

    @classmethod
    def of(cls, error: grpc.RpcError) -> CallError:
        """Splits TorchServe's details, which are two lines: a message and a class name."""
        first, _, second = (error.details() or "").partition("\n")
        return cls(error.code(), first or "the server gave no details", second)


def headers_of(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


@contextmanager
def call_errors() -> Iterator[None]:
    """Turns grpc's exceptions into `CallError` within the block."""
    try:
        yield
    except grpc.RpcError as error:
        raise CallError.of(error) from error
