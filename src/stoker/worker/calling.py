"""Calls the handler and turns what it returns or raises into answers with TorchServe's codes and texts. No socket.

Invariants: whatever a handler raises or returns, the worker lives, except for what is meant to end it (`SystemExit`,
`KeyboardInterrupt`, a server that is gone).  Tracebacks go to standard error, never to a client.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from stoker.core import printed
from stoker.core.buffer import Buffer
from stoker.ipc.to_server import Failure
from stoker.worker.context import Context
from stoker.worker.exceptions import JobCancelled, PredictionException, ServerGone
from stoker.worker.outputs import Unserialisable, serialise

EntryPoint = Callable[[Any, Context], Any]
Item = Buffer | Failure

RAISED = Failure("raised", 503, "Prediction failed")
OUT_OF_RESOURCES = Failure("resources", 507, "Out of resources")
NOT_A_LIST = Failure("output", 503, "Invalid model predict output")
WRONG_LENGTH = Failure("output", 503, "number of batch response mismatched")
UNSUPPORTED = Failure("output", 503, "Unsupported model output data type.")

ENDING = (SystemExit, KeyboardInterrupt, JobCancelled, ServerGone)
"""Exceptions that `invoke` lets through. Any other, such as `asyncio.CancelledError`, is the handler's answer."""

_RAW = (bytes, bytearray)  # with str, the outputs that need no call of `_item`
_MAX_MESSAGE = 32 << 10

_CALLERS = (os.path.dirname(__file__) + os.sep, importlib.__file__, "<frozen importlib")  # noqa: PTH120 - no pathlib here
_SELF_EXPLANATORY = (ImportError, SyntaxError, ValueError)  # while a model loads


class InvalidPart(Exception):
    """An intermediate part broke a rule of outputs. ``failure`` answers the batch unless the handler catches it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def invoke(entry_point: EntryPoint, rows: Any, context: Context) -> list[Any] | Failure:
    """Returns what ``handle`` returned if that is one entry per row, otherwise the failure. Raises ``ENDING``."""
    count = len(rows)  # a handler may empty the list
    try:
        output = entry_point(rows, context)
    except ENDING:
        raise
    except BaseException as error:
        return failure_of(error)
    return checked(output, count)


def checked(output: Any, rows: int) -> list[Any] | Failure:
    """Returns what a handler returned if that is one entry per row, otherwise the failure."""
    if not isinstance(output, list):
        return NOT_A_LIST
    return output if len(output) == rows else WRONG_LENGTH


def failure_of(error: BaseException) -> Failure:
    """Returns the answer to an exception. Prints its traceback, except for `PredictionException` and `InvalidPart`."""
    if isinstance(error, PredictionException):
        return refused(error)
    if isinstance(error, InvalidPart):
        return error.failure
    report(error)
    if isinstance(error, MemoryError) or "CUDA" in _text(error):
        return OUT_OF_RESOURCES
    return RAISED


def refused(error: PredictionException) -> Failure:
    """Keeps the exception's own message and code, even if its class never calls our constructor."""
    message = clean_text(getattr(error, "message", error.args[0] if error.args else ""))
    return Failure("refused", status_number(getattr(error, "error_code", 500)), message[:_MAX_MESSAGE])


def report(error: BaseException) -> None:
    """Prints the traceback on standard error, from the model's code on."""
    with contextlib.suppress(Exception):  # a handler may have closed standard error
        lines = traceback.format_exception(type(error), error, _without_worker_frames(error))
        if len(lines) > 1 and lines[0].startswith("  File"):
            lines.insert(0, "Traceback (most recent call last):\n")  # keeps a syntax error together in the log
        print(printed.indented("".join(lines)), file=sys.stderr, flush=True)  # noqa: T201


def _without_worker_frames(error: BaseException) -> TracebackType | None:
    """Skips the worker's own frames; keeps them if the model's code never ran and the message may not explain it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_CALLERS):
        frames = frames.tb_next
    return frames if frames is not None or isinstance(error, _SELF_EXPLANATORY) else error.__traceback__


def items_of(outputs: list[Any], *, max_bytes: int) -> list[Item] | Failure:
    """Turns each output into bytes or its failure; one `Failure` for all if an output cannot be converted."""
    items: list[Item] = []
    try:
        for output in outputs:
            data = output.encode() if type(output) is str else output
            items.append(data if type(data) in _RAW and len(data) <= max_bytes else _item(data, max_bytes))
        return items
    except (Unserialisable, UnicodeEncodeError) as error:
        report(error)
        return UNSUPPORTED
    except Exception as error:  # e.g. out of memory while a tensor is saved
        return failure_of(error)


def _item(output: Any, max_bytes: int) -> Item:
    if isinstance(output, PredictionException):
        return refused(output)
    if isinstance(output, Failure):
        return output
    data = serialise(output)
    return data if len(data) <= max_bytes else too_large(len(data), max_bytes)


def too_large(size: int, limit: int) -> Failure:
    return Failure("too_large", 507, "", size, limit)


def status_number(value: Any) -> int:
    """Converts ``value`` to an int that fits every protocol; 500 if it is not a number."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 500
    return number if 0 <= number < 1 << 31 else 500


def clean_text(value: Any) -> str:
    """Converts ``value`` to text that can be encoded."""
    text = value if isinstance(value, str) else _text(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a handler's own __str__ may fail
        return type(value).__name__
