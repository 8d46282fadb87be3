"""One request on its way through a graph, as a pure state machine.

Events go in as method calls with the time, actions come out in `Execution.actions`; `workflows.run` carries them out,
first in, first out.

What moves a step from one state to the next:

    WAITING      its last predecessor replied              RUNNING
    RUNNING      replied                                   DONE
    RUNNING      failed, and another attempt may help      BACKING_OFF
    BACKING_OFF  backoff_passed                            RUNNING

The execution is over when every wanted node is DONE, when one node failed for good, or when the caller left.

Invariants, checked over random graphs and faults:
  * it ends with exactly one `Answer` or `Fail`, or with neither if the caller left;
  * a node is submitted after all of its predecessors replied, once per attempt, one attempt at a time, and never more
    often than ``retry_attempts`` allows;
  * when it is over, whatever still ran has been cancelled, and nothing more is submitted;
  * events of an attempt other than the newest, and events after the end, are ignored.

There is one deadline for the whole request. PURE.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from stoker import errors
from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.workflows.graph import Graph, Node

_FIRST_BACKOFF_S = 0.05
_LONGEST_BACKOFF_S = 1.0
_UNAVAILABLE = 503
_JSON = "application/json"

# Another attempt may help if no worker could serve the node, or if it took too long. A handler that raised will raise
# again; a full queue, a model without workers and a stopping server should not get a second request.
_RETRYABLE = (errors.DeadlineExceeded, errors.WorkersUnavailable)
_RETRYABLE_ONCE = (errors.WorkerDied, errors.ResponseTimeout)
"""The request may have killed the worker, so it gets a second attempt but never a third."""
_NOT_RETRYABLE = (errors.WorkerOutOfMemory,)


class Submit(NamedTuple):
    """``deadline``: that of this attempt."""

    node: str
    attempt: int
    deadline: float


class CancelAttempt(NamedTuple):
    node: str


class BackOff(NamedTuple):
    """Calls for `Execution.backoff_passed` at ``until``."""

    node: str
    attempt: int
    until: float


class Answer(NamedTuple):
    """Every wanted node has its output: see `Execution.outputs`."""


class Fail(NamedTuple):
    error: errors.NodeFailed


Action = Submit | CancelAttempt | BackOff | Answer | Fail


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    DONE = "done"


class _Step:
    """``missing``: predecessors that have not replied. ``seen``: the caller has a part of its output."""

    __slots__ = ("attempt", "missing", "node", "output", "seen", "state")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.state = State.WAITING
        self.missing = len(node.predecessors)
        self.attempt = 0
        self.seen = False
        self.output: Buffer = b""


class Execution:
    """``wanted``: the nodes whose outputs are the answer; the leaves if none are named. What they do not depend on is
    not run."""

    __slots__ = ("_inputs", "_missing", "_steps", "actions", "deadline", "graph", "over", "wanted")

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Input],
        *,
        deadline: float | None = None,
        wanted: Sequence[str] = (),
    ) -> None:
        self.graph = graph
        self.wanted = wanted or graph.leaves
        self.actions: deque[Action] = deque()
        self.over = False
        self._inputs = inputs
        self.deadline = deadline
        names = graph.needed_by(wanted) if wanted else graph.nodes
        self._steps = {name: _Step(graph.nodes[name]) for name in names}
        self._missing = len(self.wanted)

    # ------------------------------------------------------------------------------------------ events

    def begin(self, now: float) -> None:
        self._submit(self._steps[self.graph.start], now)

    def replied(self, node: str, attempt: int, output: Buffer, now: float) -> None:
        step = self._running(node, attempt)
        if step is None:
            return
        step.state, step.output = State.DONE, output
        if node in self.wanted:
            self._missing -= 1
            if not self._missing:
                self.over = True
                self.actions.append(Answer())
                return
        for name in step.node.successors:
            if (successor := self._steps.get(name)) is not None:
                successor.missing -= 1
                if not successor.missing:
                    self._submit(successor, now)

    def failed(self, node: str, attempt: int, error: errors.ServingError, now: float) -> None:
        """Records that the attempt ended with an error, or was not accepted."""
        step = self._running(node, attempt)
        if step is None:
            return
        until = now + min(_FIRST_BACKOFF_S * 2**attempt, _LONGEST_BACKOFF_S)
        if self._may_retry(step, error) and (self.deadline is None or until < self.deadline):
            step.state = State.BACKING_OFF
            self.actions.append(BackOff(node, attempt, until))
            return
        if isinstance(error, errors.DeadlineExceeded) and (self.deadline is None or now < self.deadline):
            error = errors.NodeTimeout(milliseconds=step.node.serving.timeout_s * 1000)
        step.state = State.DONE
        self._stop()
        self.actions.append(Fail(errors.NodeFailed(node, error)))

    def backoff_passed(self, node: str, attempt: int, now: float) -> None:
        step = self._steps[node]
        if self.over or step.state is not State.BACKING_OFF or step.attempt != attempt:
            return
        step.attempt += 1
        self._submit(step, now)

    def seen(self, node: str) -> None:
        """Records that the caller has a part of the running attempt: from now on the node cannot be retried."""
        self._steps[node].seen = True

    def cancel(self) -> None:
        """Ends the execution because the caller left."""
        if not self.over:
            self._stop()

    # ------------------------------------------------------------------------------------------ queries

    def inputs_of(self, node: str) -> Sequence[Input]:
        """Returns what the node gets: the request's own inputs, or the outputs of its predecessors, as bytes."""
        step = self._steps[node]
        before = step.node.predecessors
        if not before:
            return self._inputs
        content_type = _JSON if step.node.decode else ""
        if len(before) == 1:
            return [Input("body", content_type, self._steps[before[0]].output)]
        return [Input(name, content_type, self._steps[name].output) for name in before]

    def outputs(self) -> Mapping[str, Buffer]:
        """Outputs of the wanted nodes, in the order of the graph; complete after `Answer`."""
        return {name: step.output for name, step in self._steps.items() if name in self.wanted}

    def attempts(self) -> Mapping[str, int]:
        """Returns how often each node was submitted."""
        return {name: step.attempt + 1 for name, step in self._steps.items() if step.state is not State.WAITING}

    def is_last(self, node: str) -> bool:
        """Returns whether only the caller wants the node's output."""
        return not any(name in self._steps for name in self._steps[node].node.successors)

    # ------------------------------------------------------------------------------------------ transitions

    def _running(self, node: str, attempt: int) -> _Step | None:
        """Returns the running step that an event belongs to; None: the event comes too late."""
        step = self._steps[node]
        return None if self.over or step.state is not State.RUNNING or step.attempt != attempt else step

    def _submit(self, step: _Step, now: float) -> None:
        step.state = State.RUNNING
        deadline = now + step.node.serving.timeout_s
        if self.deadline is not None and self.deadline < deadline:
            deadline = self.deadline
        self.actions.append(Submit(step.node.name, step.attempt, deadline))

    def _may_retry(self, step: _Step, error: errors.ServingError) -> bool:
        return not step.seen and step.attempt < _most_retries(error, step.node.serving.retry_attempts)

    def _stop(self) -> None:
        """Drops the actions not carried out yet, and cancels the attempts that run."""
        self.over = True
        self.actions.clear()
        self.actions.extend(CancelAttempt(name) for name, step in self._steps.items() if step.state is State.RUNNING)


def _most_retries(error: errors.ServingError, allowed: int) -> int:
    """Returns how many attempts after the first this error allows."""
    if isinstance(error, _NOT_RETRYABLE):
        return 0
    if isinstance(error, _RETRYABLE_ONCE):
        return min(allowed, 1)
    if isinstance(error, errors.HandlerRefused):  # the handler itself may say that it is unavailable now
        return allowed if error.number == _UNAVAILABLE else 0
    return allowed if isinstance(error, _RETRYABLE) else 0
