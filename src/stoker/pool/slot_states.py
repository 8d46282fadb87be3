"""States of a worker slot, and whether a model can still get a worker.  PURE.

A slot holds one worker process and outlives it.  `NEXT` has all transitions; an event that a state does not list raises
and changes nothing.  Times are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from stoker.errors import ServingError


class State(Enum):
    STARTING = "STARTING"  # a process is being spawned, its interpreter starts
    PENDING = "PENDING"  # no node of the cluster has room for a process; it starts when one has
    LOADING = "LOADING"  # the handler is imported and initialised
    READY = "READY"
    BACKOFF = "BACKOFF"  # no process; another one follows after a delay
    GIVEN_UP = "GIVEN_UP"  # no process and none follows (only with worker_give_up=torchserve)
    DRAINING = "DRAINING"  # no new batch; the process ends when it has answered
    STOPPED = "STOPPED"  # the end of the slot


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
"""States that end by themselves; in every other one the outcome of the newest start is known."""


def after(state: State, event: Event) -> State:
    """Raises `IllegalTransition` for an event that the state does not list."""
    try:
        return NEXT[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.name} while {state.name}") from None


class Life:
    """The state of a slot. ``start_failure``: why its newest start failed, or has no room; None: that start went well,
    or goes on. A process that was ready once and died later did not fail to start."""

    __slots__ = ("start_failure", "state")

    def __init__(self) -> None:
        self.state = State.STARTING
        self.start_failure: ServingError | None = None

    def enter(self, event: Event, error: ServingError | None = None) -> None:
        """``error``: why a process EXITED, or there is NO_ROOM for one."""
        was, self.state = self.state, after(self.state, event)
        if event is Event.NO_ROOM or (event is Event.EXITED and was is not State.READY):
            self.start_failure = error
        elif event in (Event.ROOM, Event.RETRY):
            self.start_failure = None


def hopeless(lives: Iterable[Life]) -> ServingError | None:
    """Returns why no worker of a model can live at present, if none can: every slot's newest start failed, and no
    slot is starting. One failure alone proves nothing: other workers live, or come back."""
    failures = [life.start_failure for life in lives]
    return failures[0] if failures and all(failures) else None


BACKOFF_S = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)


def backoff_s(failures: int) -> int:
    """Returns the delay after the ``failures``-th failure in a row (counted from 1)."""
    return BACKOFF_S[min(max(failures, 1), len(BACKOFF_S)) - 1]


class Recovery:
    """Since when a slot has been failing, and how often: from the first failure until the next successful load."""

    __slots__ = ("failures", "max_retry_s", "since")

    def __init__(self, *, max_retry_s: float) -> None:
        self.max_retry_s = max_retry_s
        self.failures = 0
        self.since: float | None = None

    @property
    def running(self) -> bool:
        return self.since is not None

    def failed(self, now: float) -> int:
        """Counts one more failure at ``now``; returns how many there are."""
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
