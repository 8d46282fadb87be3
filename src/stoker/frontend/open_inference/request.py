"""A request for inference and its answer, in the form that gRPC and REST share. PURE.

Clients and handlers repeat themselves: requests often differ only in their id and data.  The rest of a request is its
head, which is made, checked and planned once for all of them.  The same holds for answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, NamedHead, Parameters


class RequestHead:
    """``version``: empty for the default one. ``outputs``: those that the client wants, with their parameters; empty:
    all. ``plan``: the plan of the newest request (`plans.Plan`)."""

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
    """``data``: of the head's inputs. ``document``: the whole request, as the client sent it, if that was JSON."""

    head: RequestHead
    id: str
    data: Sequence[Buffer]
    document: Buffer | None = None


class AnswerHead:
    """``id``: the one that the handler set; empty: the request's. ``sent``: how many outputs the handler sent;
    ``picked``: the indices of ``outputs`` among them; None: all. ``encoded``: the encoded protobuf message, once made.
    """

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
        """Returns a copy of the head with these parameters added."""
        both = {**self.parameters, **parameters}
        return AnswerHead(self.model, self.version, self.outputs, both, id=self.id)


class InferAnswer(Struct, frozen=True):
    """``data``: of the head's outputs."""

    head: AnswerHead
    id: str
    data: Sequence[Buffer]
