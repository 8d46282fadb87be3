"""Defines the states of a worker slot, and decides whether a model can still get a worker.  PURE.

A slot holds one worker process after another.  `NEXT` has all transitions; an event that a state does not list raises
and changes nothing.  Times are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from stoker.errors import ServingError


class State(Enum):
    STARTING = "STARTING"  # a process is being spawned and its interpreter starts
    PENDING = "PENDING"  # no node of the cluster has room for a process; it starts when one has
    LOADING = "LOADING"  # the handler is being imported and initialised
    READY = "READY"
    BACKOFF = "BACKOFF"  # no process; the next one starts after a delay
    GIVEN_UP = "GIVEN_UP"  # no process, and none will start (only with worker_give_up=torchserve)
    DRAINING = "DRAINING"  # gets no new batch; the process ends once it has answered
    STOPPED = "STOPPED"  # the slot has ended


class Event(Enum):
    NO_ROOM = "no_room"
    ROOM = "room"
    GREETED = "greeted"
    LOADED = "loaded"
    EXITED = "exited"  # the process is gone, or could not be spawned
    RETRY = "retry"
    GIVE_UP = "give_up"
    RETIRE = "retire"


class IllegalTransition(RuntimeError):
    """A bug in the pool: this event cannot happen in this state."""


NEXT: dict[State, dict[Event, State]] = {
    State.STARTING: {
        Event.NO_ROOM: State.PENDING,
        Event.GREETED: State.LOADING,
        Event.EXITED: State.BACKOFF,
        Event.RETIRE: State.DRAINING,
    },
    State.PENDING: {
        Event.NO_ROOM: State.PENDING,  # for another reason
        Event.ROOM: State.STARTING,
        Event.EXITED: State.BACKOFF,
        Event.RETIRE: State.DRAINING,
    },
    State.LOADING: {Event.LOADED: State.READY, Event.EXITED: State.BACKOFF, Event.RETIRE: State.DRAINING},
    State.READY: {Event.EXITED: State.BACKOFF, Event.RETIRE: State.DRAINING},
    State.BACKOFF: {Event.RETRY: State.STARTING, Event.GIVE_UP: State.GIVEN_UP, Event.RETIRE: State.STOPPED},
    State.GIVEN_UP: {Event.RETIRE: State.STOPPED},
    State.DRAINING: {Event.EXITED: State.STOPPED},
    State.STOPPED: {},
}

UNSETTLED = frozenset({State.STARTING, State.LOADING, State.DRAINING})
"""States that end by themselves; in all others the outcome of the latest start is known."""


def after(state: State, event: Event) -> State:
    """Raises `IllegalTransition` for an event that the state does not list."""
    try:
        return NEXT[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.name} while {state.name}") from None


class Lifecycle:
    """The state of a slot. ``start_failure``: why its latest start failed, or waits for room; None: it succeeded or is
    still in progress. A process that died after it was ready did not fail to start."""

    __slots__ = ("start_failure", "state")

    def __init__(self) -> None:
        self.state = State.STARTING
        self.start_failure: ServingError | None = None

    def enter(self, event: Event, error: ServingError | None = None) -> None:
        """``error``: why the process EXITED, or why there is NO_ROOM for one."""
        before, self.state = self.state, after(self.state, event)
        if event is Event.NO_ROOM or (event is Event.EXITED and before is not State.READY):
            self.start_failure = error
        elif event in (Event.ROOM, Event.RETRY):
            self.start_failure = None


def failure_of_all(lifecycles: Iterable[Lifecycle]) -> ServingError | None:
    """Returns why no worker of a model can run at present: every slot's latest start failed. None: one runs, is
    starting or may come back."""
    failures = [lifecycle.start_failure for lifecycle in lifecycles]
    return failures[0] if failures and all(failures) else None


BACKOFF_S = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)


def backoff_s(failures: int) -> int:
    """Returns the delay after the ``failures``-th failure in a row (counted from 1)."""
    return BACKOFF_S[min(max(failures, 1), len(BACKOFF_S)) - 1]


class Recovery:
    """Tracks since when a slot has been failing, and how often: from the first failure until a load succeeds."""

    __slots__ = ("failures", "max_retry_s", "since")

    def __init__(self, *, max_retry_s: float) -> None:
        self.max_retry_s = max_retry_s
        self.failures = 0
        self.since: float | None = None

    @property
    def running(self) -> bool:
        return self.since is not None

    def failed(self, now: float) -> int:
        """Counts a failure at ``now``; returns how many there have been."""
        self.failures += 1
        if self.since is None:
            self.since = now
        return self.failures

    def loaded(self) -> None:
        self.failures = 0
        self.since = None

    def exhausted(self, now: float) -> bool:
        """Tells whether TorchServe would give up (maxRetryTimeoutInSec); only `worker_give_up` uses it."""
        return self.since is not None and now - self.since >= self.max_retry_s
