"""Tracks the open sequences of a model, and which worker they are bound to.  PURE.

The state of a sequence follows from the jobs that it has:

    UNBOUND   jobs wait, and no worker is bound      a worker takes the first: RUNNING there
    READY     jobs wait, and a worker is bound       that worker takes the oldest: RUNNING
    RUNNING   the worker has a job of it             it is answered: READY, IDLE, or CLOSED if the sequence was ended
    IDLE      no job waits or runs                   a job comes: READY; a limit passes: CLOSED
    CLOSED    its place is free, and all its jobs were answered
"""

from __future__ import annotations

import heapq
from collections import deque
from enum import Enum
from math import inf

from stoker.core.job import Job
from stoker.scheduling.flight import WorkerState
from stoker.scheduling.policies.batch_delay import BatchDelay


class State(Enum):
    UNBOUND = "unbound"
    READY = "ready"
    RUNNING = "running"
    IDLE = "idle"
    CLOSED = "closed"


class OpenSequence:
    """``queue``: jobs that wait, each with its number in the order of acceptance. ``running``: jobs in the worker;
    ``joining``: those of them for which the next job has to wait.

    ``counted``: it takes one of the model's places; a request outside of sequences is served as a sequence of its own
    that takes none. ``begun``: the worker has run a job of it, and so has its state. ``announced``: the worker was sent
    the job that opens it. ``sealed``: it accepts no more jobs. ``ending``: it closes once no job of it runs.
    ``answered_at``: when its last job ended. ``timed``: it is in `IdleSequences`.
    """

    __slots__ = (
        "announced",
        "answered_at",
        "begun",
        "closed",
        "counted",
        "ending",
        "id",
        "joining",
        "opened_at",
        "queue",
        "running",
        "sealed",
        "timed",
        "worker",
    )

    def __init__(self, id: str, now: float, *, counted: bool = True) -> None:
        self.id = id
        self.counted = counted
        self.opened_at = self.answered_at = now
        self.queue: deque[tuple[int, Job]] = deque()
        self.running = self.joining = 0
        self.worker: WorkerState | None = None
        self.begun = self.announced = self.sealed = self.ending = self.closed = self.timed = False

    @property
    def state(self) -> State:
        if self.closed:
            return State.CLOSED
        if self.joining or (self.running and not self.queue):
            return State.RUNNING
        if self.queue:
            return State.UNBOUND if self.worker is None else State.READY
        return State.IDLE


class ReadySequences:
    """Orders sequences in one state by their oldest job. Removes entries lazily."""

    __slots__ = ("_heap", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._heap: list[tuple[int, OpenSequence]] = []

    def __len__(self) -> int:
        """Returns an upper bound of their number."""
        return len(self._heap)

    def add(self, sequence: OpenSequence) -> None:
        heapq.heappush(self._heap, (sequence.queue[0][0], sequence))

    def _current(self, number: int, sequence: OpenSequence) -> bool:
        return sequence.state is self._state and sequence.queue[0][0] == number

    def count(self) -> int:
        return sum(self._current(*entry) for entry in self._heap)

    def oldest(self) -> tuple[int, OpenSequence] | None:
        while self._heap:
            if self._current(*self._heap[0]):
                return self._heap[0]
            heapq.heappop(self._heap)
        return None


class BoundSequences:
    """A worker and the sequences that are bound to it. ``delay``: for how long it waits for a full batch."""

    __slots__ = ("delay", "ready", "sequences", "worker")

    def __init__(self, worker: WorkerState, delay: BatchDelay) -> None:
        self.worker = worker
        self.delay = delay
        self.sequences: set[OpenSequence] = set()
        self.ready = ReadySequences(State.READY)


_SWEEP_SLACK = 64


class IdleSequences:
    """Orders idle sequences by when they close. Each has one entry, whose time may be too early but never too late."""

    def __init__(self, max_idle_s: float, max_life_s: float) -> None:
        self._max_idle_s = max_idle_s
        self._max_life_s = max_life_s
        self._heap: list[tuple[float, int, OpenSequence]] = []
        self._count = 0
        self._sweep_at = _SWEEP_SLACK

    def closes_at(self, sequence: OpenSequence) -> float:
        idle_end = sequence.answered_at + self._max_idle_s
        return min(idle_end, sequence.opened_at + self._max_life_s) if self._max_life_s else idle_end

    def add(self, sequence: OpenSequence) -> None:
        if not sequence.timed:
            sequence.timed = True
            self._push(sequence)

    def _push(self, sequence: OpenSequence) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.closes_at(sequence), self._count, sequence))
        if len(self._heap) > self._sweep_at:
            self._heap = [entry for entry in self._heap if not entry[2].closed]
            heapq.heapify(self._heap)
            self._sweep_at = 2 * len(self._heap) + _SWEEP_SLACK

    def pop_expired(self, now: float) -> OpenSequence | None:
        """Removes and returns an idle sequence whose limit has passed; None: there is none."""
        while self._heap and (self._heap[0][2].closed or self._heap[0][0] <= now):
            _, _, sequence = heapq.heappop(self._heap)
            sequence.timed = False
            if sequence.state is not State.IDLE:
                continue
            if self.closes_at(sequence) <= now:
                return sequence
            self.add(sequence)
        return None

    @property
    def wake_at(self) -> float:
        return self._heap[0][0] if self._heap else inf
