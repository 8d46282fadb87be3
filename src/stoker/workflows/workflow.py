"""One registered workflow: its graph, the models of its nodes, and the requests in progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stoker import errors
from stoker.core.job import Input, Job, ModelKey
from stoker.core.measures import RequestTotals, WorkflowCounters
from stoker.core.reply import ReplyStream
from stoker.registry.entry import ModelEntry
from stoker.workflows.execution import Execution
from stoker.workflows.run import Asked, Run
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

    def submit(self, job: Job) -> None:
        try:
            self._scheduler.submit(job)
        except errors.ServingError:
            if self._counters is not None:
                self._counters.refused += 1
            raise

    @property
    def ready(self) -> bool:
        """Whether it can serve now, with as many workers as it should have."""
        return self.entry.ready_workers() >= max(1, self.entry.min_workers)


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
        self._runs: dict[Run, float] = {}  # with the time of their beginning
        self._idle: asyncio.Future[None] | None = None

    # ---------------------------------------------------------------------------------------- requests

    def submit(
        self, inputs: Sequence[Input], asked: Asked, *, deadline: float | None = None, wanted: Sequence[str] = ()
    ) -> ReplyStream:
        """
        Raises:
            BadRequest: ``wanted`` names no node of the workflow
            DeadlineExceeded
        """
        now = self._now()
        if deadline is not None and deadline <= now:
            raise errors.DeadlineExceeded()
        graph = self.specification.graph
        for node in wanted:
            if node not in graph.nodes:
                raise errors.BadRequest(f"Workflow {self.name} has no node {node}.")
        run = Run(
            Execution(graph, inputs, deadline=deadline, wanted=wanted),
            asked,
            models=self.models,
            observer=self,
            now=self._now,
            call_later=asyncio.get_running_loop().call_later,
        )
        self._runs[run] = now
        try:
            return run.begin()
        except BaseException:
            self._runs.pop(run, None)
            raise

    def node_retried(self, node: str) -> None:
        retries = self._counters.retries
        retries[node] = retries.get(node, 0) + 1

    def run_ended(self, run: Run, error: errors.ServingError | None) -> None:
        begun = self._runs.pop(run)
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

    # ------------------------------------------------------------------------------------------ the end

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
        """Answers every request that is left."""
        for run in list(self._runs):
            run.abandon(error)
