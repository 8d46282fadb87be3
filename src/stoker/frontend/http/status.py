"""Maps errors to HTTP statuses and to TorchServe's class names in ``type``, in one table.

Status numbers and names are TorchServe's, because existing clients match them; docs/compatibility.md lists deliberate
differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stoker import errors as e
from stoker.frontend.error_rows import row_of

INSUFFICIENT_RESOURCES = 507
PAYLOAD_TOO_LARGE = 413


class Answer(NamedTuple):
    """The members of TorchServe's error document. ``error``: the message for clients of the open inference protocol,
    who look there; empty for others."""

    status: int
    type: str
    message: str
    error: str = ""


class Row(NamedTuple):
    status: int
    type: str


_BAD_REQUEST = "BadRequestException"
_INTERNAL = "InternalServerException"
_UNAVAILABLE = "ServiceUnavailableException"
_TIMEOUT = "RequestTimeoutException"
_NOT_FOUND = "ModelNotFoundException"
_NO_WORKFLOW = "WorkflowNotFoundException"
_CONFLICT = "ConflictStatusException"

TABLE: Mapping[type[Exception], Row] = {
    e.ServingError: Row(500, _INTERNAL),
    # the request
    e.ClientError: Row(400, _BAD_REQUEST),
    e.ResourceNotFound: Row(404, "ResourceNotFoundException"),
    e.NotSupported: Row(501, "NotImplementedException"),
    e.MethodNotAllowed: Row(405, "MethodNotAllowedException"),
    e.CallerRefused: Row(403, "ForbiddenException"),
    e.ModelNotFound: Row(404, _NOT_FOUND),
    e.ModelVersionNotFound: Row(404, "ModelVersionNotFoundException"),
    e.TokenRejected: Row(400, "InvalidKeyException"),
    e.Unauthorized: Row(401, "InvalidKeyException"),  # where the setting token_failure_status asks for it
    e.HeadTooLarge: Row(431, _BAD_REQUEST),
    e.MessageTooLarge: Row(PAYLOAD_TOO_LARGE, _BAD_REQUEST),
    # capacity
    e.CapacityError: Row(503, _UNAVAILABLE),
    # time
    e.DeadlineExceeded: Row(408, _TIMEOUT),
    e.ResponseTimeout: Row(500, _INTERNAL),
    e.Cancelled: Row(499, _INTERNAL),  # only for the access log: the client has left
    # workers; the number of a `HandlerError` is its own
    e.WorkerDied: Row(500, _INTERNAL),
    e.WorkerOutOfMemory: Row(INSUFFICIENT_RESOURCES, _INTERNAL),
    # management
    e.ManagementError: Row(500, _INTERNAL),
    e.AlreadyRegistered: Row(409, _CONFLICT),
    e.ModelApiDisabled: Row(403, "ModelException"),
    e.RepositoryElsewhere: Row(403, "ModelException"),
    e.CannotRemoveDefault: Row(403, "InvalidModelVersionException"),
    e.UnregisterTimeout: Row(408, _TIMEOUT),
    e.WorkersOutOfMemory: Row(INSUFFICIENT_RESOURCES, _INTERNAL),
    e.MissingDevices: Row(500, "WorkerInitializationException"),
    # archives
    e.ArchiveError: Row(400, "InvalidModelException"),
    e.ArchiveNotFound: Row(404, _NOT_FOUND),
    e.DownloadFailed: Row(400, "DownloadArchiveException"),
    e.ArchiveExists: Row(500, _INTERNAL),
    e.ArchiveUnreadable: Row(500, _INTERNAL),
    e.RequirementsFailed: Row(400, "ModelException"),
    # workflows
    e.WorkflowNotFound: Row(404, _NO_WORKFLOW),
    e.WorkflowArchiveNotFound: Row(404, _NO_WORKFLOW),
    e.WorkflowError: Row(500, "WorkflowException"),
    e.WorkflowAlreadyRegistered: Row(409, _CONFLICT),
    e.ModelOfWorkflow: Row(409, _CONFLICT),
    e.InvalidWorkflow: Row(400, "InvalidWorkflowException"),
    e.InvalidGraph: Row(400, "InvalidDAGException"),
    e.WorkflowArchiveExists: Row(409, "FileAlreadyExistsException"),
}

NODE_STATUSES: Mapping[type[Exception], int] = {
    e.ServingError: 500,
    e.CapacityError: 503,
    e.WorkerDied: 503,
    e.WorkerOutOfMemory: INSUFFICIENT_RESOURCES,
    e.DeadlineExceeded: 504,
    e.ResponseTimeout: 504,
    e.OutOfResources: INSUFFICIENT_RESOURCES,
    e.ResponseTooLarge: INSUFFICIENT_RESOURCES,
}
"""Status of a workflow's request by the error of its node; for `HandlerRefused` it is the handler's number."""


def answer_of(error: Exception) -> Answer:
    if isinstance(error, e.NodeFailed):
        return Answer(_status_of_node(error.error), answer_of(error.error).type, str(error))
    row = row_of(TABLE, error)
    if row is None:
        return Answer(500, _INTERNAL, "Internal server error")
    return Answer(_status(row, error), row.type, str(error))


def torchserves_answer_of(error: e.NodeFailed) -> Answer:
    """Answers as TorchServe does, which does not say what happened to the node."""
    cause = error.error
    unserved = isinstance(cause, (e.NoWorkers, e.QueueFull))
    return Answer(500, _INTERNAL, cause.message if unserved else f"Error executing {error.node}")


def _status_of_node(cause: e.ServingError) -> int:
    if isinstance(cause, e.HandlerRefused):
        return status_of_number(cause.number)
    return row_of(NODE_STATUSES, cause) or 500


def open_inference_answer_of(error: Exception, *, torchserve: bool = False) -> Answer:
    """Returns the answer on a path of the open inference protocol. ``torchserve``: handlers' errors are 503, which its
    clients retry."""
    answer = answer_of(error)
    status = answer.status
    if isinstance(error, e.DeadlineExceeded):
        status = 504
    elif isinstance(error, e.HandlerRaised | e.InvalidOutput) and not torchserve:
        status = 500
    return answer._replace(status=status, error=answer.message)


def _status(row: Row, error: Exception) -> int:
    if isinstance(error, e.HandlerError):
        return status_of_number(error.number)
    return row.status


def status_of_number(number: int) -> int:
    """Returns the HTTP status for a worker's number: as in TorchServe, 413 becomes 507, because the request was not too
    large."""
    if number == PAYLOAD_TOO_LARGE:
        return INSUFFICIENT_RESOURCES
    return number if 400 <= number <= 999 else 500
