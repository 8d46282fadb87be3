"""Functions that the services share: operations that take a while, answers of text, parsing.

Invariant: an operation continues when its client leaves; only the answer is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from stoker.errors import MalformedMessage, ServerStopping
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.fields import check_fields
from stoker.frontend.grpc.status import StatusOf
from stoker.frontend.request_limits import FEW_BYTES
from stoker.protos import management_pb2

MOST_LISTED = 100

Request = TypeVar("Request", bound=Message)
Result = TypeVar("Result")


class LongOperations:
    """Runs operations, each in a task of its own, which goes on when the client leaves."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, call: Call, operation: Coroutine[Any, Any, str], *, status_of: StatusOf | None = None) -> None:
        """Runs the operation and answers with its text. ``status_of``: the method's, if not given."""
        self.run(call, operation, text_response, status_of=status_of)

    def run(
        self,
        call: Call,
        operation: Coroutine[Any, Any, Result],
        encode: Callable[[Result], bytes],
        *,
        status_of: StatusOf | None = None,
    ) -> None:
        """Runs the operation and answers with its encoded result."""
        task = asyncio.get_running_loop().create_task(operation)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(call, done, encode, status_of or call.method.status_of))

    def _finished(
        self, call: Call, task: asyncio.Task[Result], encode: Callable[[Result], bytes], status_of: StatusOf
    ) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            call.fail(ServerStopping())
            return
        error = task.exception()
        if error is None:
            call.reply(encode(task.result()))
        else:
            call.refuse(status_of(error if isinstance(error, Exception) else RuntimeError(repr(error))))


def unary_methods(service: str, handlers: Iterable[Callable[[Call], None]], status_of: StatusOf) -> Sequence[Method]:
    """Makes a method of each function, under the function's name."""
    return [
        Method(path=f"/{service}/{handle.__name__}", kind=Kind.UNARY, handle=handle, status_of=status_of)
        for handle in handlers
    ]


def parse(kind: type[Request], call: Call) -> Request:
    """Parses the call's request. Raises: MalformedMessage; BadRequest: too many fields"""
    if len(call.request) > FEW_BYTES:
        check_fields(call.request)
    try:
        return kind.FromString(call.request)
    except DecodeError:
        raise MalformedMessage(message_type=kind.DESCRIPTOR.name) from None


def positive(number: int) -> int | None:
    """Treats numbers of zero or less as not given, because proto3 cannot tell the difference."""
    return number if number > 0 else None


def json_text(value: object) -> str:
    """Formats as TorchServe does: indented by two, no escapes, no final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def reply(call: Call, text: str) -> None:
    call.reply(text_response(text))


def text_response(text: str) -> bytes:
    sendable = text.encode("utf-8", "replace").decode()  # a handler's JSON may contain a lone surrogate
    return management_pb2.ManagementResponse(msg=sendable).SerializeToString()
