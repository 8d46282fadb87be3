"""TorchServe's answer of a workflow: the bytes of the only leaf, or one JSON object of all leaves.  PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stoker.core.buffer import Buffer
from stoker.core.workflows import Trace
from stoker.errors import NodeFailed


class PlainForm:
    """Implements `core.workflows.Form` for /wfpredict and Predictions."""

    __slots__ = ("streams",)
    traces = False

    def __init__(self, *, streams: bool = False) -> None:
        self.streams = streams

    def part(self, node: str, data: Buffer, *, last: bool) -> Buffer:
        return data

    def whole(self, outputs: Mapping[str, Buffer], traces: Mapping[str, Trace]) -> Buffer:
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        return json_of(outputs)

    def failure(self, error: NodeFailed) -> Buffer | None:
        return None


WHOLE = PlainForm()
STREAMED = PlainForm(streams=True)


def json_of(outputs: Mapping[str, Buffer]) -> bytes:
    """Returns a JSON object with a member for each leaf: its JSON value, or a string of what is no JSON."""
    members = ",".join(f"\n  {json.dumps(name)}: {_member(bytes(output))}" for name, output in outputs.items())
    return f"{{{members}\n}}\n".encode("utf-8", "replace")


def _member(output: bytes) -> str:
    try:
        text = _dumped(json.loads(output.decode("utf-8")))
    except (ValueError, RecursionError):
        text = _dumped(output.decode("utf-8", "replace"))
    return text.replace("\n", "\n  ")  # no string of JSON has a line break


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
