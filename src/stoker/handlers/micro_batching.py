"""`MicroBatching`: preprocess, inference and postprocess of one batch overlap, in slices, on threads.

A handler installs it in its constructor: ``self.handle = MicroBatching(self, micro_batch_size=4)``.

Invariants: results come in the order of the rows; an exception of any stage is raised in `handle` after every slice has
arrived. Threads start at the first batch, never earlier: a process may be forked before.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HANDLER_METHODS = ["preprocess", "inference", "postprocess"]

_here = threading.local()


@dataclass
class Slice:
    """Some rows in a stage. ``arrived``: where `MicroBatching.handle` waits for them."""

    index: int
    value: Any
    arrived: queue.SimpleQueue[Slice]
    error: BaseException | None = None


Stage = queue.SimpleQueue[Slice | None]
"""Slices that wait for a stage; None tells one of its threads to exit."""


@dataclass
class WorkerThread:
    """One thread of a stage; ``event`` tells it to exit."""

    event: threading.Event
    thread: threading.Thread


def execute_call(event: threading.Event, stage: Stage, following: Stage | None, handler: Any, method: str) -> None:
    """Runs one thread: applies ``method`` to slices and passes them on, until it is to exit."""
    while not event.is_set():
        item = stage.get()
        if item is None:
            return
        if item.error is None:
            _apply(item, handler, method)
        (item.arrived if following is None else following).put(item)


def _apply(item: Slice, handler: Any, method: str) -> None:
    _here.index = item.index
    try:
        item.value = getattr(handler, method)(item.value)
    except BaseException as error:  # raised again by `handle`, in the calling thread
        item.error = error
    finally:
        _here.index = None


class MicroBatching:
    """Replaces a handler's ``handle``. ``parallelism``: threads per method, 1 by default."""

    def __init__(
        self, parent_handler: Any, micro_batch_size: int = 1, parallelism: dict[str, int] | None = None
    ) -> None:
        self.handler = parent_handler
        self.micro_batch_size = micro_batch_size
        self._parallelism = _checked(parallelism or {})
        self._threads: list[WorkerThread] = []
        self._stages: list[Stage] = []

    @property
    def parallelism(self) -> dict[str, int]:
        return dict(self._parallelism)

    @parallelism.setter
    def parallelism(self, parallelism: Mapping[str, int]) -> None:
        """Sets the threads per method, from the next batch on."""
        self._parallelism = _checked(parallelism)
        self.shutdown()

    def __call__(self, data: Any, context: Any) -> Any:
        """Answers a batch like `BaseHandler.handle`, in slices."""
        started = time.perf_counter()
        self.handler.context = context
        output = self._answer(data)
        if context.metrics is not None:
            context.metrics.add_time("HandlerTime", round((time.perf_counter() - started) * 1000, 2), None, "ms")
        return output

    def _answer(self, data: Any) -> Any:
        handler = self.handler
        if handler._is_describe():
            return [handler.describe_handle()]
        if handler._is_explain():  # attributions need the whole batch
            return handler.explain_handle(handler.preprocess(data), data)
        return self.handle(data)

    def handle(self, data: Any) -> list[Any]:
        """Returns the answers to all rows. Raises the exception of the first failing slice."""
        self._start()
        arrived: queue.SimpleQueue[Slice] = queue.SimpleQueue()
        slices = [
            Slice(index, data[start : start + self.micro_batch_size], arrived)
            for index, start in enumerate(range(0, len(data), self.micro_batch_size))
        ]
        for each in slices:
            self._stages[0].put(each)
        for _ in slices:
            arrived.get()
        for each in slices:
            if each.error is not None:
                raise each.error
        return list(itertools.chain.from_iterable(each.value for each in slices))

    def get_micro_batch_idx(self) -> int | None:
        """Returns the number of the slice that this thread of a stage is working on."""
        return getattr(_here, "index", None)

    def shutdown(self) -> None:
        """Ends the threads. The next batch starts new ones."""
        threads, self._threads = self._threads, []
        stages, self._stages = self._stages, []
        for worker in threads:
            worker.event.set()
        for stage in stages:
            for _ in threads:
                stage.put(None)
        for worker in threads:
            worker.thread.join()

    def _start(self) -> None:
        if self._threads:
            return
        self._stages = [queue.SimpleQueue() for _ in HANDLER_METHODS]
        following = [*self._stages[1:], None]
        for method, stage, after in zip(HANDLER_METHODS, self._stages, following, strict=True):
            for number in range(self._parallelism[method]):
                self._threads.append(self._start_thread(f"{method}-{number}", stage, after, method))

    def _start_thread(self, name: str, stage: Stage, following: Stage | None, method: str) -> WorkerThread:
        event = threading.Event()
        arguments = (event, stage, following, self.handler, method)
        thread = threading.Thread(target=execute_call, args=arguments, name=name, daemon=True)
        thread.start()
        return WorkerThread(event, thread)


def _checked(parallelism: Mapping[str, int]) -> dict[str, int]:
    unknown = set(parallelism) - set(HANDLER_METHODS)
    if unknown:
        raise ValueError(f"parallelism knows {HANDLER_METHODS}, not {sorted(unknown)}")
    if any(count < 1 for count in parallelism.values()):
        raise ValueError("each method needs at least one thread")
    return {method: parallelism.get(method, 1) for method in HANDLER_METHODS}
