"""All errors of stoker.  An error says what happened, independent of the protocol that reports it.

The docstring of a class is its default message, as the client sees it; ``{fields}`` are filled from the
keyword arguments.  Each frontend has one table from these classes to its own codes.  Texts are TorchServe's
where TorchServe has one, because clients in the field match them.

Invariant: no message may carry a path of the server, a stack, a token or the name of an environment variable.
"""

from __future__ import annotations

import ast
import inspect
import sys
from textwrap import dedent

_messages: dict[type[StokerError], str] = {}


def _default_message(kind: type[StokerError]) -> str:
    """Returns the docstring, from the source where Python has dropped it (``-OO``, ``PYTHONOPTIMIZE=2``)."""
    if kind not in _messages:
        _messages[kind] = (inspect.getdoc(kind) if sys.flags.optimize < 2 else _docstring_in_source(kind)) or ""
    return _messages[kind]


def _docstring_in_source(kind: type[StokerError]) -> str | None:
    (definition,) = ast.parse(dedent(inspect.getsource(kind))).body
    return ast.get_docstring(definition) if isinstance(definition, ast.ClassDef) else None


class StokerError(Exception):
    """An error of stoker."""

    def __init__(self, message: str | None = None, **facts: object) -> None:
        if message is None:
            message = _default_message(type(self)).format(**facts)
        super().__init__(message)
        self.message = message


# ---------------------------------------------------------------------------------------------- start-up


class StartupError(StokerError):
    """The server could not start."""

    exit_code = 1


class ConfigurationError(StartupError):
    """Invalid configuration."""


class BindError(StartupError):
    """Cannot listen on {address}: {reason}"""

    exit_code = 3


# ---------------------------------------------------------------------------------------------- serving


class ServingError(StokerError):
    """The request could not be served."""

    @property
    def cause(self) -> str:
        """Returns what happened, for a sentence that names the consequence already."""
        return self.message


class ClientError(ServingError):
    """The request is wrong; sending it again does not help."""


class BadRequest(ClientError):
    """Bad request."""


class MalformedMessage(BadRequest):
    """The request is not a valid {message_type} message."""


class ResourceNotFound(ClientError):
    """Requested resource is not found, please refer to API document."""


class NotSupported(ClientError):
    """This server does not support {what}."""


class MethodNotAllowed(ClientError):
    """Requested method is not allowed, please refer to API document."""


class ModelNotFound(ClientError):
    """Model not found: {model}"""


class ModelVersionNotFound(ClientError):
    """Model version: {version} does not exist for model: {model}"""


class TokenRejected(ClientError):
    """Token Authorization failed. Token either incorrect, expired, or not provided correctly"""


class Unauthorized(TokenRejected):
    """Token Authorization failed. Token either incorrect, expired, or not provided correctly"""


class TokensAreFixed(ClientError):
    """The tokens of this server are set by its operator and cannot be replaced by a request."""


class TokenNotReplaced(ServingError):
    """The token was not replaced, because the key file cannot be written. The old one stays valid."""


class CallerRefused(ClientError):
    """The management API does not serve requests that a page of another site may have made."""


class MessageTooLarge(ClientError):
    """The message is larger than max_request_size: {size} bytes, the limit is {limit}."""


class HeadTooLarge(ClientError):
    """The request head is larger than {limit} bytes."""


class TooManyHeaders(HeadTooLarge):
    """The request has more than {limit} headers."""


# ------------------------------------------------------------------- capacity: another try may succeed


class CapacityError(ServingError):
    """The request was not taken; sending it again later may help."""


_NO_WORKER = (
    'Model "{model}"{version} has no worker to serve inference request. Please use scale workers API to add '
    "workers. If this is a sequence inference, please check if it is closed, or expired; or exceeds "
    "maxSequenceJobQueueSize"
)


def _no_worker(model: str, version: str | None) -> str:
    # The quote after the version stands alone in TorchServe's text too, and scripts match it.
    return _NO_WORKER.format(model=model, version=f' Version {version}"' if version else "")


class NoWorkers(CapacityError):
    """The model is scaled to zero workers. ``version``: only where the request named it."""

    def __init__(self, model: str, version: str | None = None) -> None:
        super().__init__(_no_worker(model, version))


class NoWorkersToDescribe(NoWorkers):
    """As `NoWorkers`, for a describe request that asks the handler (TorchServe's other text)."""

    def __init__(self, model: str) -> None:
        CapacityError.__init__(
            self,
            f'Model "{model}" has no worker to serve describe request. Please use scale workers API to add workers.',
        )


class QueueFull(CapacityError):
    """As many jobs wait for the model as its queue may hold; TorchServe has the text of `NoWorkers` for it."""

    def __init__(self, model: str, version: str | None = None) -> None:
        super().__init__(_no_worker(model, version))


class SequenceQueueFull(QueueFull):
    """As many requests of the sequence are waiting as the model allows."""


class NoJobTicket(QueueFull):
    """No worker is free, and the model refuses what would have to wait (``useJobTicket``)."""


class TooManySequences(QueueFull):
    """As many sequences are open as the model allows."""


class SequenceClosed(CapacityError):
    """The sequence is closed, or was never opened where clients must open it."""

    def __init__(self, model: str, version: str | None = None) -> None:
        super().__init__(_no_worker(model, version))


class WorkersUnavailable(CapacityError):
    """Model "{model}" cannot be served now because its workers fail to start: {cause}"""


class TooManyIncomplete(CapacityError):
    """More requests are being received than the server has memory for."""


class ServerStopping(CapacityError):
    """The server is stopping."""


class ModelUnregistered(CapacityError):
    """Model "{model}" was unregistered before the request was served."""


class StreamStalled(CapacityError):
    """The client did not read its stream for {seconds:g} s."""


class ReaderTooSlow(StreamStalled):
    """The client read its stream more slowly than {floor} bytes a second."""


# --------------------------------------------------------------------------------------- time and cancel


class DeadlineExceeded(ServingError):
    """The deadline passed before the request was served."""


class ResponseTimeout(ServingError):
    """The worker did not answer within responseTimeout ({seconds:g} s) and was restarted."""


class Cancelled(ServingError):
    """The client cancelled the request."""


# ----------------------------------------------------------------------------------------------- workers


class WorkerDied(ServingError):
    """The worker process that held the request is gone. ``cause`` is a sentence without paths, e.g.
    'killed by signal 11 (SIGSEGV)', 'exit code 3'."""

    def __init__(self, cause: str = "") -> None:
        super().__init__("Worker died." + (f" Cause: {cause}" if cause else ""))
        self._cause = cause

    @property
    def cause(self) -> str:
        return self._cause or "it ended for an unknown reason"


class WorkerOutOfMemory(WorkerDied):
    """There was not enough memory: the kernel killed the worker for it, or the model did not fit when it was loaded."""


class HandlerError(ServingError):
    """The model's handler failed.  ``number`` is the HTTP-like code of the worker (contract of handlers)."""

    def __init__(self, message: str = "Prediction failed", number: int = 503) -> None:
        super().__init__(message)
        self.number = number


class HandlerRaised(HandlerError):
    """handle() raised a plain exception: 503 'Prediction failed'."""


class HandlerRefused(HandlerError):
    """handle() raised PredictionException(message, code): the handler's own words and number."""


class OutOfResources(HandlerError):
    """handle() ran out of memory: 507 'Out of resources'."""

    def __init__(self, message: str = "Out of resources", number: int = 507) -> None:
        super().__init__(message, number)


class InvalidOutput(HandlerError):
    """handle() returned something that is not a list, has the wrong length or cannot be serialised: 503."""


class ResponseTooLarge(HandlerError):
    """A result is over max_response_size."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The response is larger than max_response_size: {size} bytes, the limit is {limit}.", 507)


# -------------------------------------------------------------------------------------------- management


class ManagementError(ServingError):
    """The operation failed."""


class ModelApiDisabled(ManagementError):
    """Model API disabled"""


class RepositoryElsewhere(ManagementError):
    """The model repository is served on the management port."""


class AlreadyRegistered(ManagementError):
    """Model version {version} is already registered for model {model}"""


class CannotRemoveDefault(ManagementError):
    """Cannot remove default version for model {model}"""


class UnregisterTimeout(ManagementError):
    """Timed out while cleaning resources: {model}"""


class WorkersFailedToStart(ManagementError):
    """Failed to start workers for model {model} version: {version}"""


class WorkersOutOfMemory(WorkersFailedToStart):
    """Failed to start workers for model {model} version: {version}"""


class MissingDevices(ManagementError):
    """Error while creating workers"""


# ---------------------------------------------------------------------------------------------- archives


class ArchiveError(ManagementError):
    """The model archive cannot be used."""


class ArchiveNotFound(ArchiveError):
    """Model not found at: {url}"""


class RelativeUrlRefused(ArchiveNotFound):
    """Relative path is not allowed in url: {url}"""


class UrlRefused(ArchiveNotFound):
    """Given URL {url} does not match any allowed URL(s): see the setting allowed_urls"""


class PathRefused(ArchiveNotFound):
    """Given path {url} is not in the model store: see the setting allowed_model_paths"""


class ModelStoreMissing(ArchiveNotFound):
    """Model store has not been configured."""


class DownloadFailed(ArchiveError):
    """Failed to download archive from: {url}"""


class ArchiveExists(ArchiveError):
    """Model file already exists {file}"""


class ArchiveUnreadable(ArchiveError):
    """Failed to save model: {url}"""


class InvalidArchive(ArchiveError):
    """The archive or its manifest is not valid."""


class UnsafeArchive(InvalidArchive):
    """The archive was refused: {member}: {reason}"""


class FilesNotFetched(ArchiveError):
    """The model's files did not reach the node."""


class RequirementsFailed(ArchiveError):
    """Custom pip package installation failed for model {model}"""


class ArchiveNotBuilt(StokerError):
    """The archive was not built."""  # told to whoever runs the archiver, so it may name paths


# --------------------------------------------------------------------------------------------- workflows


class WorkflowNotFound(ClientError):
    """Workflow not found: {workflow}"""


class WorkflowUnregistered(CapacityError):
    """Workflow "{workflow}" was unregistered before the request was served."""


class WorkflowError(ManagementError):
    """The workflow cannot be served."""


class ModelOfWorkflow(WorkflowError):
    """Model {model} belongs to workflow {workflow}: unregister the workflow."""


class WorkflowAlreadyRegistered(WorkflowError):
    """Workflow {workflow} is already registered."""


class WorkflowNotRegistered(WorkflowError):
    """Workflow {workflow} has failed to register. Failures: {failures}"""


class InvalidWorkflow(WorkflowError):
    """The workflow archive or its specification is not valid."""


class InvalidGraph(InvalidWorkflow):
    """Not a valid DAG"""


class WorkflowArchiveNotFound(WorkflowError):
    """Workflow not found at: {url}"""


class WorkflowArchiveExists(WorkflowError):
    """Workflow file already exists {file}"""


class NodeTimeout(DeadlineExceeded):
    """The node did not answer within its timeout-ms, {milliseconds:g}."""


class NodeFailed(ServingError):
    """A node of a workflow failed for good.  ``error``: why; frontends answer with its status."""

    def __init__(self, node: str, error: ServingError) -> None:
        super().__init__(f"Error executing {node}: {error.message}")
        self.node = node
        self.error = error
