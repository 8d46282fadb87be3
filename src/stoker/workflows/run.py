"""Carries out one execution: submits its nodes to their schedulers, and passes on their replies.

A run needs no task and no thread: the listener of each reply takes the next step. Only back-offs and first parts of
streams have timers. The caller reads a `ReplyStream`, as from any model; a node that streams to it is read no faster
than the caller reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from stoker import errors
from stoker.core.buffer import Buffer
from stoker.core.job import Job, ModelKey
from stoker.core.measures import RequestTotals
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.core.sequences import Membership
from stoker.core.workflows import Form, Trace
from stoker.workflows import execution as steps
from stoker.workflows.execution import Execution

log = logging.getLogger(__name__)

_READ_BYTES = 16 << 10
_UNREAD_BYTES = 64 << 10


class NodeModel(Protocol):
    """The model that serves a node.  ``totals``: where its jobs are counted."""

    @property
    def key(self) -> ModelKey: ...

    @property
    def totals(self) -> RequestTotals | None: ...

    @property
    def streams_alone(self) -> bool: ...

    def submit(self, job: Job, member: Membership | None) -> Job:
        """Returns the job whose reply is to be read. ``member``: the sequence that the request belongs to."""
        ...


class Observer(Protocol):
    """Observes the runs of a workflow."""

    def node_retried(self, node: str) -> None: ...

    def run_ended(self, run: Run, error: errors.ServingError | None) -> None:
        """Ends the run, exactly once. ``error``: None when it was answered, `Cancelled` when the caller left."""
        ...


class Timer(Protocol):
    def cancel(self) -> object: ...


CallLater = Callable[..., Timer]
"""As the event loop's: seconds, function, arguments."""


class RunOptions(NamedTuple):
    """``alone``: whether a node that streams to the caller is a batch of its own; None: as its model says. ``meta``:
    for each chunk of the answer, in place of what nodes set. ``member``: for nodes with sequences."""

    form: Form
    request_id: str
    headers: Mapping[str, str] | None = None
    alone: bool | None = None
    meta: ResponseMeta | None = None
    member: Membership | None = None


class Run:
    """Runs one request. Implements `core.reply.Producer` for the caller's reply, which ends when the run does."""

    __slots__ = (
        "_attempts",
        "_call_later",
        "_execution",
        "_models",
        "_now",
        "_observer",
        "_options",
        "_reply",
        "_tail",
        "traces",
    )

    def __init__(
        self,
        execution: Execution,
        options: RunOptions,
        *,
        models: Mapping[str, NodeModel],
        observer: Observer,
        now: Callable[[], float],
        call_later: CallLater,
        reply: ReplyStream | None = None,
    ) -> None:
        self._execution = execution
        self._options = options
        self._models = models
        self._observer = observer
        self._now = now
        self._call_later = call_later
        self._reply = reply or ReplyStream()
        self._attempts: dict[str, _Attempt] = {}
        self._tail: Buffer = b""
        self.traces: dict[str, Trace] = {}

    def begin(self) -> ReplyStream:
        self._reply.producer = self._reply.job = self
        self._execution.begin(self._now())
        self._carry_out()
        return self._reply

    def abandon(self, error: errors.ServingError) -> None:
        """Ends the run early, with this error. Idempotent."""
        if not self._reply.ended:
            self._execution.cancel()
            self._carry_out()
            self._end(error)

    # ------------------------------------------------------------------------------------ the caller

    def job_cancelled(self, job: Run) -> None:
        self.abandon(errors.Cancelled())

    def job_consumed(self, job: Run, nbytes: int) -> None:
        for attempt in list(self._attempts.values()):
            attempt.resume()

    def has_room(self) -> bool:
        """Tells whether the caller has read enough to be sent more."""
        return self._reply.backlog < _UNREAD_BYTES

    def failed_unexpectedly(self, error: Exception) -> None:
        """Handles a defect of this server: the caller gets a plain error, the log the traceback."""
        log.error("A workflow run failed unexpectedly", exc_info=error)
        self.abandon(errors.ServingError("Internal server error"))

    # ------------------------------------------------------------------------------------ the nodes

    def part(self, node: str, data: Buffer) -> None:
        """Passes on a part of a node's output other than the last."""
        self._execution.seen(node)
        self._push_part(self._options.form.part(node, data, last=False))

    def replied(self, attempt: _Attempt, output: Buffer) -> None:
        """``output``: the whole output, or the last part of one that streams to the caller."""
        if not self._forget_attempt(attempt):
            return
        node, form, execution = attempt.node, self._options.form, self._execution
        if form.traces:
            self.traces[node] = self._traced(attempt)
        streamed = form.streams and node in execution.wanted
        if streamed:
            self._tail = form.part(node, output, last=True)
        execution.replied(node, attempt.number, output, self._now())
        if streamed and not execution.over:
            self._push_part(self._tail)
        self._carry_out()

    def failed(self, attempt: _Attempt, error: errors.ServingError) -> None:
        if self._forget_attempt(attempt):
            self._execution.failed(attempt.node, attempt.number, error, self._now())
            self._carry_out()

    def _forget_attempt(self, attempt: _Attempt) -> bool:
        """Forgets an attempt that has ended. Returns False if it was cancelled while its reply was being read."""
        if self._attempts.get(attempt.node) is not attempt:
            return False
        del self._attempts[attempt.node]
        return True

    def _traced(self, attempt: _Attempt) -> Trace:
        """Reads what was measured of this attempt alone, and adds it to its model's totals."""
        own, shared = attempt.job.totals, self._models[attempt.node].totals
        assert own is not None
        if shared is not None:
            shared.latency_s += own.latency_s
            shared.queued_s += own.queued_s
        return Trace(attempt.number + 1, own.queued_s, own.latency_s - own.queued_s)

    def _push_part(self, part: Buffer) -> None:
        self._reply.push_parts([Chunk(part, self._options.meta)], len(part))

    # ------------------------------------------------------------------------------------ the actions

    def _carry_out(self) -> None:
        actions = self._execution.actions
        while actions:
            action = actions.popleft()
            if isinstance(action, steps.Submit):
                self._submit(action)
            elif isinstance(action, steps.Answer):
                self._answer()
            elif isinstance(action, steps.CancelAttempt):
                if (attempt := self._attempts.pop(action.node, None)) is not None:
                    attempt.cancel()
            elif isinstance(action, steps.BackOff):
                self._back_off(action)
            else:
                self._end(action.error)

    def _submit(self, action: steps.Submit) -> None:
        node, model, options = action.node, self._models[action.node], self._options
        streaming = options.form.streams and self._execution.is_last(node)
        totals = RequestTotals() if options.form.traces else model.totals
        job = Job(
            model.key,
            self._execution.inputs_of(node),
            headers=options.headers or {},
            deadline=self._execution.deadline if streaming else action.deadline,
            streaming=streaming,
            alone=streaming and (model.streams_alone if options.alone is None else options.alone),
            id=f"{options.request_id}/{node}" + (f"/{action.attempt}" if action.attempt else ""),
            totals=totals,
        )
        try:
            job = model.submit(job, options.member)
        except errors.ServingError as error:
            self._execution.failed(node, action.attempt, error, self._now())
            return
        if streaming:
            timeout_s = max(0.0, action.deadline - self._now())
            attempt: _Attempt = _StreamedAttempt(self, node, action.attempt, job, timeout_s, self._call_later)
        else:
            attempt = _Attempt(self, node, action.attempt, job)
        self._attempts[node] = attempt
        job.reply.subscribe(attempt.on_reply)

    def _back_off(self, action: steps.BackOff) -> None:
        self._observer.node_retried(action.node)
        delay = max(0.0, action.until - self._now())
        self._call_later(delay, self._backoff_passed, action.node, action.attempt)

    def _backoff_passed(self, node: str, attempt: int) -> None:
        self._execution.backoff_passed(node, attempt, self._now())
        self._carry_out()

    def _answer(self) -> None:
        form = self._options.form
        answer = self._tail if form.streams else form.whole(self._execution.outputs(), self.traces)
        self._observer.run_ended(self, None)
        self._reply.push(Chunk(answer, self._options.meta), last=True)

    def _end(self, error: errors.ServingError) -> None:
        self._observer.run_ended(self, error)
        if isinstance(error, errors.NodeFailed) and (part := self._options.form.failure(error)) is not None:
            self._push_part(part)
        self._reply.fail(error)


class _Attempt:
    """One attempt at a node whose output is needed whole."""

    __slots__ = ("job", "node", "number", "run")

    def __init__(self, run: Run, node: str, number: int, job: Job) -> None:
        self.run = run
        self.node = node
        self.number = number
        self.job = job

    def on_reply(self) -> None:
        try:
            self._read()
        except Exception as error:
            self.run.failed_unexpectedly(error)

    def _read(self) -> None:
        reply = self.job.reply
        if not reply.ended:
            return
        if reply.error is not None:
            self.run.failed(self, reply.error)
        else:
            self.run.replied(self, _joined([chunk.data for chunk in reply.rest()]))

    def resume(self) -> None:
        """Continues after the caller has read."""

    def cancel(self) -> None:
        self.job.reply.cancel()


class _StreamedAttempt(_Attempt):
    """One attempt at a node whose parts stream to the caller. Its timeout applies to the first part."""

    __slots__ = ("_busy", "_timer")

    def __init__(self, run: Run, node: str, number: int, job: Job, timeout_s: float, call_later: CallLater) -> None:
        super().__init__(run, node, number, job)
        self._busy = False
        self._timer: Timer | None = call_later(timeout_s, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        self.job.reply.cancel()
        self.run.failed(self, errors.DeadlineExceeded())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        self.on_reply()

    def cancel(self) -> None:
        self._stop_timer()
        super().cancel()

    def _read(self) -> None:
        """Reads what has arrived. If that makes the producer push more, the outer call reads it, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            self._move()
        finally:
            self._busy = False

    def _move(self) -> None:
        reply, run = self.job.reply, self.run
        while run.has_room() and (chunks := reply.read_nowait(_READ_BYTES)):
            self._stop_timer()
            last = chunks.pop() if reply.exhausted and reply.error is None else None
            for chunk in chunks:
                run.part(self.node, chunk.data)
            if last is not None:
                run.replied(self, last.data)
        if reply.exhausted and reply.error is not None:
            self._stop_timer()
            run.failed(self, reply.error)


def _joined(parts: list[Buffer]) -> Buffer:
    return parts[0] if len(parts) == 1 else b"".join(parts)
