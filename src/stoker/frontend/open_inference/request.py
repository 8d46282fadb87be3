"""A request for inference and its answer, as both protocols read and write them. PURE.

Clients and handlers repeat themselves: what requests have in common that differ in id and data is their head, made,
checked and planned once.  So it is with answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, NamedHead, Parameters


class RequestHead:
    """``version``: empty for the default one. ``outputs``: those that the client wants, with their parameters; empty:
    all. ``plan``: how the newest request was queued (`plans.Plan`)."""

    __slots__ = ("inputs", "model", "outputs", "parameters", "plan", "version")

    def __init__(
        self,
        model: str,
        version: str,
        inputs: Sequence[NamedHead],
        outputs: Sequence[tuple[str, Parameters]] = (),
        parameters: Parameters = NONE,
    ) -> None:
        self.model = model
        self.version = version
        self.inputs = inputs
        self.outputs = outputs
        self.parameters = parameters
        self.plan: Any = None


class InferRequest(Struct, frozen=True):
    """``data``: of the head's inputs. ``document``: the whole request in JSON, as the client sent it, where it is
    that."""

    head: RequestHead
    id: str
    data: Sequence[Buffer]
    document: Buffer | None = None


class AnswerHead:
    """``id``: that the handler itself said; empty: the request's counts. ``sent``: how many outputs the handler sent;
    ``picked``: which of them these are, None: all. ``encoded``: for protobuf, once it was encoded."""

    __slots__ = ("encoded", "id", "model", "outputs", "parameters", "picked", "sent", "version")

    def __init__(
        self,
        model: str,
        version: str,
        outputs: Sequence[NamedHead],
        parameters: Parameters = NONE,
        *,
        id: str = "",
        sent: int = 0,
        picked: Sequence[int] | None = None,
    ) -> None:
        self.model = model
        self.version = version
        self.outputs = outputs
        self.parameters = parameters
        self.id = id
        self.sent = sent
        self.picked = picked
        self.encoded = b""

    def with_parameters(self, parameters: Parameters) -> AnswerHead:
        """Returns a head that has these parameters too."""
        both = {**self.parameters, **parameters}
        return AnswerHead(self.model, self.version, self.outputs, both, id=self.id)


class InferAnswer(Struct, frozen=True):
    """``data``: of the head's outputs."""

    head: AnswerHead
    id: str
    data: Sequence[Buffer]
