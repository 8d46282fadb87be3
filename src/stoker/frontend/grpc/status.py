"""Maps errors to gRPC statuses, with one table per service.

Column ``correct`` is what a gRPC client expects, column ``torchserve`` what TorchServe answers.  Both have TorchServe's
message as the first line of details and its class name as the second, because existing clients match them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from stoker import errors as e
from stoker.frontend.error_rows import row_of

OK = 0
CANCELLED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

MAX_DETAILS_BYTES = 4096
"""Limit for details on the wire, percent-encoded.

Clients refuse headers of 8 KiB and more, and then lose the status.
"""


HTTP = {
    OK: 200,
    CANCELLED: 499,
    UNKNOWN: 500,
    INVALID_ARGUMENT: 400,
    DEADLINE_EXCEEDED: 504,
    NOT_FOUND: 404,
    ALREADY_EXISTS: 409,
    PERMISSION_DENIED: 403,
    RESOURCE_EXHAUSTED: 429,
    FAILED_PRECONDITION: 400,
    ABORTED: 409,
    OUT_OF_RANGE: 400,
    UNIMPLEMENTED: 501,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    UNAUTHENTICATED: 401,
}
"""The HTTP status with the same meaning, for request counters."""


class Status(NamedTuple):
    code: int
    details: str


StatusOf = Callable[[Exception], Status]


class Row(NamedTuple):
    """Codes of an error, by column, and its details. ``second``: the second line of details ("" for none); ``words``:
    replaces the first line in TorchServe's column."""

    correct: int
    torchserve: int
    second: str
    words: str | None = None


_ARCHIVE = "org.pytorch.serve.archive"
_HTTP = "org.pytorch.serve.http"
_BAD_REQUEST_CALL = "BadRequestException.()"
_INTERNAL_CALL = "InternalServerException.()"
_INTERNAL_CLASS = f"{_HTTP}.InternalServerException"
_NOT_FOUND_CLASS = f"{_ARCHIVE}.model.ModelNotFoundException"
_VERSION_CLASS = f"{_ARCHIVE}.model.ModelVersionNotFoundException"
_MODEL_CLASS = f"{_ARCHIVE}.model.ModelException"
_WORKFLOW = f"{_ARCHIVE}.workflow"

Table = Mapping[type[Exception], Row]

INFERENCE: Table = {
    e.ServingError: Row(INTERNAL, INTERNAL, _INTERNAL_CALL),
    # the request
    e.ClientError: Row(INVALID_ARGUMENT, INTERNAL, _BAD_REQUEST_CALL),
    e.MalformedMessage: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, _BAD_REQUEST_CALL),
    e.MessageTooLarge: Row(RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED, _BAD_REQUEST_CALL),
    e.ModelNotFound: Row(NOT_FOUND, INTERNAL, _NOT_FOUND_CLASS),
    e.ModelVersionNotFound: Row(NOT_FOUND, INTERNAL, _VERSION_CLASS),
    e.WorkflowNotFound: Row(NOT_FOUND, NOT_FOUND, f"{_WORKFLOW}.WorkflowNotFoundException"),
    e.TokenRejected: Row(PERMISSION_DENIED, PERMISSION_DENIED, ""),
    # capacity
    e.CapacityError: Row(UNAVAILABLE, UNAVAILABLE, _INTERNAL_CALL),
    e.NoWorkers: Row(UNAVAILABLE, INTERNAL, _INTERNAL_CALL),
    e.QueueFull: Row(RESOURCE_EXHAUSTED, INTERNAL, _INTERNAL_CALL),
    e.SequenceClosed: Row(FAILED_PRECONDITION, INTERNAL, _INTERNAL_CALL),
    e.WorkersUnavailable: Row(UNAVAILABLE, INTERNAL, _INTERNAL_CALL),
    e.StreamStalled: Row(RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED, _INTERNAL_CALL),
    # time
    e.DeadlineExceeded: Row(DEADLINE_EXCEEDED, DEADLINE_EXCEEDED, _INTERNAL_CALL),
    e.ResponseTimeout: Row(DEADLINE_EXCEEDED, INTERNAL, _INTERNAL_CLASS, "Worker died."),
    e.Cancelled: Row(CANCELLED, CANCELLED, _INTERNAL_CALL),
    # workers
    e.WorkerDied: Row(UNAVAILABLE, INTERNAL, _INTERNAL_CLASS, "Worker died."),
    e.WorkerOutOfMemory: Row(RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED, _INTERNAL_CLASS, "Worker died."),
    # INTERNAL: UNAVAILABLE would make clients retry a request that always fails.
    e.HandlerError: Row(INTERNAL, UNAVAILABLE, _INTERNAL_CLASS),
    e.OutOfResources: Row(INTERNAL, INTERNAL, _INTERNAL_CLASS),
    e.ResponseTooLarge: Row(RESOURCE_EXHAUSTED, INTERNAL, _INTERNAL_CLASS, "Worker died."),
}

MANAGEMENT: Table = {
    **INFERENCE,
    e.ClientError: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, f"{_HTTP}.BadRequestException"),
    e.MalformedMessage: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, f"{_HTTP}.BadRequestException"),
    e.ModelNotFound: Row(NOT_FOUND, NOT_FOUND, _NOT_FOUND_CLASS),
    e.ModelVersionNotFound: Row(NOT_FOUND, NOT_FOUND, _VERSION_CLASS),
    e.ManagementError: Row(INTERNAL, INTERNAL, _INTERNAL_CLASS),
    e.ModelApiDisabled: Row(PERMISSION_DENIED, PERMISSION_DENIED, _MODEL_CLASS),
    e.RepositoryElsewhere: Row(PERMISSION_DENIED, PERMISSION_DENIED, _MODEL_CLASS),
    # TorchServe answers the next three without a text.
    e.AlreadyRegistered: Row(ALREADY_EXISTS, UNKNOWN, f"{_HTTP}.ConflictStatusException"),
    e.CannotRemoveDefault: Row(FAILED_PRECONDITION, UNKNOWN, f"{_HTTP}.InvalidModelVersionException"),
    e.UnregisterTimeout: Row(DEADLINE_EXCEEDED, UNKNOWN, f"{_HTTP}.RequestTimeoutException"),
    e.WorkersOutOfMemory: Row(RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED, _INTERNAL_CLASS),
    e.MissingDevices: Row(INTERNAL, INTERNAL, "org.pytorch.serve.wlm.WorkerInitializationException"),
    # archives
    e.ArchiveError: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, f"{_ARCHIVE}.model.InvalidModelException"),
    e.ArchiveNotFound: Row(NOT_FOUND, NOT_FOUND, _NOT_FOUND_CLASS),
    e.DownloadFailed: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, f"{_ARCHIVE}.DownloadArchiveException"),
    e.ArchiveExists: Row(INTERNAL, INTERNAL, _INTERNAL_CLASS),
    e.ArchiveUnreadable: Row(INTERNAL, INTERNAL, _INTERNAL_CLASS),
    e.RequirementsFailed: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, _MODEL_CLASS),
    # workflows: TorchServe has none over gRPC
    e.WorkflowError: Row(INTERNAL, INTERNAL, f"{_WORKFLOW}.WorkflowException"),
    e.WorkflowAlreadyRegistered: Row(ALREADY_EXISTS, ALREADY_EXISTS, f"{_HTTP}.ConflictStatusException"),
    e.ModelOfWorkflow: Row(FAILED_PRECONDITION, FAILED_PRECONDITION, f"{_HTTP}.ConflictStatusException"),
    e.InvalidWorkflow: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, f"{_WORKFLOW}.InvalidWorkflowException"),
    e.InvalidGraph: Row(INVALID_ARGUMENT, INVALID_ARGUMENT, "org.pytorch.serve.ensemble.InvalidDAGException"),
    e.WorkflowArchiveNotFound: Row(NOT_FOUND, NOT_FOUND, f"{_WORKFLOW}.WorkflowNotFoundException"),
    e.WorkflowArchiveExists: Row(ALREADY_EXISTS, ALREADY_EXISTS, "java.nio.file.FileAlreadyExistsException"),
}

MODELS: Table = {
    **INFERENCE,
    e.ModelNotFound: Row(NOT_FOUND, NOT_FOUND, _NOT_FOUND_CLASS),
    e.ModelVersionNotFound: Row(NOT_FOUND, NOT_FOUND, _VERSION_CLASS),
}
"""For the open inference protocol's methods that ask about a model."""

_NUMBERS = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    409: ABORTED,
    413: RESOURCE_EXHAUSTED,
    416: OUT_OF_RANGE,
    429: RESOURCE_EXHAUSTED,
    499: CANCELLED,
    501: UNIMPLEMENTED,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}


def code_of_number(number: int) -> int:
    """Returns the gRPC code for a worker's HTTP-like number; never `OK`, because it is used for errors only."""
    if number in _NUMBERS:
        return _NUMBERS[number]
    if 400 <= number < 500:
        return FAILED_PRECONDITION
    return INTERNAL if 500 <= number < 600 else UNKNOWN


def inference_status(status_codes: str) -> StatusOf:
    """``status_codes``: ``correct`` or ``torchserve``, the setting grpc_status_codes."""
    return StatusTable(INFERENCE, torchserve=status_codes == "torchserve")


def in_stream_status(status_codes: str) -> StatusOf:
    """Returns the table for errors that do not end their call; `reason_of` has what their details leave out."""
    return StatusTable(INFERENCE, torchserve=status_codes == "torchserve", second_line=False)


def reason_of(error: Exception) -> str:
    """Returns TorchServe's class name for an error of the inference service."""
    row = row_of(INFERENCE, error)
    return row.second if row is not None else _INTERNAL_CALL


def management_status(status_codes: str) -> StatusOf:
    return StatusTable(MANAGEMENT, torchserve=status_codes == "torchserve")


class StatusTable:
    """Maps errors to statuses by one table and column. ``second_line``: details name TorchServe's class too."""

    def __init__(self, table: Table, *, torchserve: bool, second_line: bool = True) -> None:
        self._table = table
        self._torchserve = torchserve
        self._second_line = second_line

    def __call__(self, error: Exception) -> Status:
        if isinstance(error, e.NodeFailed):  # with the code of the node's own error
            return Status(self(error.error).code, _details(str(error), _INTERNAL_CLASS))
        row = row_of(self._table, error)
        if row is None:
            return Status(INTERNAL, self._details("Internal server error", _INTERNAL_CALL))
        words = str(error)
        if self._torchserve and row.words is not None:
            words = row.words
        return Status(self._code(row, error), self._details(words, row.second))

    def _details(self, words: str, second: str) -> str:
        return _details(words, second if self._second_line else "")

    def _code(self, row: Row, error: Exception) -> int:
        if isinstance(error, e.HandlerRefused):
            return code_of_number(error.number)
        return row.torchserve if self._torchserve else row.correct


def _details(words: str, second: str) -> str:
    text = f"{_shortened(words)}\n{second}" if second else _shortened(words)
    return text.encode("utf-8", "replace").decode()


def _shortened(words: str) -> str:
    room = MAX_DETAILS_BYTES - 256  # for the second line and the dots
    if len(words) * 12 <= room:  # no character takes more than 12 bytes
        return words
    for index, character in enumerate(words):
        room -= 1 if " " <= character <= "~" else 3 * len(character.encode("utf-8", "replace"))
        if room < 0:
            return f"{words[:index]}..."
    return words
