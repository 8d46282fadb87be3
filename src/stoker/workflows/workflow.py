"""One registered workflow: its graph, the models of its nodes, and the requests in progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stoker import errors
from stoker.core.job import Input, Job, ModelKey
from stoker.core.measures import RequestTotals, WorkflowCounters
from stoker.core.reply import ReplyStream
from stoker.core.sequences import Membership, SequenceLimits, SequenceReply, in_sequence, membership, new_sequence_id
from stoker.registry.entry import ModelEntry
from stoker.workflows.execution import Execution
from stoker.workflows.run import Run, RunOptions
from stoker.workflows.specification import Specification


class EntryModel:
    """The model of one node. Implements `run.NodeModel`."""

    __slots__ = ("_counters", "_scheduler", "entry", "key", "streams_alone", "totals")

    def __init__(self, entry: ModelEntry) -> None:
        self.entry = entry
        self.key: ModelKey = entry.key
        self.streams_alone = entry.spec.streams_alone
        self.totals: RequestTotals | None = entry.counters.by_default if entry.counters is not None else None
        self._counters = entry.counters
        self._scheduler = entry.scheduler

    @property
    def sequences(self) -> SequenceLimits | None:
        return self.entry.spec.sequences

    def submit(self, job: Job, member: Membership | None) -> Job:
        if member is not None and self.sequences is not None:
            job = in_sequence(job, self.sequences, member, member.id)
        try:
            self._scheduler.submit(job)
        except errors.ServingError:
            if self._counters is not None:
                self._counters.refused += 1
            raise
        return job

    @property
    def ready(self) -> bool:
        """Tells whether it has its minimum of workers, or sleeps and will be woken by a request."""
        return self.entry.asleep or self.entry.ready_workers() >= max(1, self.entry.min_workers)


class Workflow:
    """Implements `run.Observer` for its own runs."""

    def __init__(
        self,
        name: str,
        specification: Specification,
        models: Mapping[str, EntryModel],
        *,
        counters: WorkflowCounters,
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self.specification = specification
        self.models = models
        self._counters = counters
        self._now = now
        self._sequences = next((limits for model in models.values() if (limits := model.sequences)), None)
        self._sequence_of: dict[Run, str] = {}
        self._busy_sequences: set[str] = set()
        self._runs: dict[Run, float] = {}  # and when each began
        self._idle: asyncio.Future[None] | None = None

    def submit(
        self, inputs: Sequence[Input], options: RunOptions, *, deadline: float | None = None, wanted: Sequence[str] = ()
    ) -> ReplyStream:
        """Starts a run. ``wanted``: nodes to answer with, in place of the leaves.

        Raises BadRequest: a wanted node does not exist; DeadlineExceeded; SequenceQueueFull: the previous request of
        the sequence is not answered yet.
        """
        now = self._now()
        if deadline is not None and deadline <= now:
            raise errors.DeadlineExceeded()
        graph = self.specification.graph
        for node in wanted:
            if node not in graph.nodes:
                raise errors.BadRequest(f"Workflow {self.name} has no node {node}.")
        reply = None
        if self._sequences is not None:
            options, reply = self._in_sequence(self._sequences, inputs, options)
        run = Run(
            Execution(graph, inputs, deadline=deadline, wanted=wanted),
            options,
            models=self.models,
            observer=self,
            now=self._now,
            call_later=asyncio.get_running_loop().call_later,
            reply=reply,
        )
        self._runs[run] = now
        if reply is not None:
            self._sequence_of[run] = reply.sequence_id
            self._busy_sequences.add(reply.sequence_id)
        try:
            return run.begin()
        except BaseException:
            self._forget(run)
            raise

    def _in_sequence(
        self, limits: SequenceLimits, inputs: Sequence[Input], options: RunOptions
    ) -> tuple[RunOptions, SequenceReply]:
        """Puts a request into the sequence that it names, or into a new one. Requests of one sequence go through the
        workflow one at a time, so that each node sees them in order."""
        member = options.member or membership(limits.names, inputs, options.headers)
        if not member.id:
            member = Membership(new_sequence_id(), True, member.ends)
        if member.id in self._busy_sequences:
            raise errors.SequenceQueueFull(self.name)
        return options._replace(member=member), SequenceReply(sequence_id=member.id, header=limits.names.id)

    def _forget(self, run: Run) -> float:
        """Returns when the run began."""
        if self._sequence_of:
            self._busy_sequences.discard(self._sequence_of.pop(run, ""))
        return self._runs.pop(run, 0.0)

    def node_retried(self, node: str) -> None:
        retries = self._counters.retries
        retries[node] = retries.get(node, 0) + 1

    def run_ended(self, run: Run, error: errors.ServingError | None) -> None:
        begun = self._forget(run)
        counters = self._counters
        if error is None:
            counters.ok += 1
            counters.latency_s += self._now() - begun
        elif isinstance(error, errors.Cancelled):
            counters.cancelled += 1
        else:
            counters.failed += 1
        if self._idle is not None and not self._runs:
            self._idle.set_result(None)
            self._idle = None

    @property
    def has_sequences(self) -> bool:
        return self._sequences is not None

    @property
    def ready(self) -> bool:
        return all(model.ready for model in self.models.values())

    async def drain(self, grace_s: float) -> None:
        """Waits until every request is answered, at most ``grace_s``."""
        if not self._runs:
            return
        if self._idle is None:
            self._idle = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._idle], timeout=grace_s)

    def abandon(self, error: errors.ServingError) -> None:
        """Ends all remaining runs with this error."""
        for run in list(self._runs):
            run.abandon(error)
