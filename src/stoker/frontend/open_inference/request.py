"""A request for inference, as both protocols read it. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, Parameters, Tensor


class Template:
    """What requests have in common that differ in nothing but id and data: clients repeat themselves.

    ``plan``: how the newest of them was queued, with what was found out about all of them then.
    """

    __slots__ = ("plan",)

    def __init__(self) -> None:
        self.plan: Any = None


class InferRequest(NamedTuple):
    """``version``: empty for the default one. ``outputs``: those that the client wants, with their parameters; empty:
    all. ``document``: the whole request in JSON, as the client sent it, where it is that."""

    model: str
    version: str
    id: str
    inputs: Sequence[Tensor]
    outputs: Sequence[tuple[str, Parameters]] = ()
    parameters: Parameters = NONE
    document: Buffer | None = None
    template: Template | None = None


class InferAnswer(NamedTuple):
    """``outputs``: those that the client wants, in its order. ``head``: the same for answers that have model, version
    and all of the outputs but data in common; empty: not known."""

    model: str
    version: str
    id: str
    outputs: Sequence[Tensor]
    parameters: Parameters = NONE
    head: bytes = b""
