"""Writes snapshots of the models: after the start, after each change, at the end.

A thread writes, so that the event loop goes on; changes during a write share the next file.  A disk that is full or
read-only costs one warning, never an operation.
Invariant: snapshots hold a model version from its successful registration until it is unregistered, also while, after a
restart, it is not loaded yet or could not be: a disk that is missing at one start does not lose its models.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel, SnapshotWorkflow
from stoker.core.job import ModelKey

T = TypeVar("T")
log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_WRITE_TIMEOUT_S = 5.0


class Writer(Protocol):
    def write(self, kind: str, snapshot: ModelSnapshot) -> Path: ...


class SnapshotKeeper:
    """``writer`` None: nothing is written. ``served``: the confirmed models; ``is_registered``: also of others.
    ``chosen_defaults``: names whose default version a client chose since. ``workflows``: those that are served.
    ``resumed``: what this start resumes."""

    def __init__(
        self,
        *,
        writer: Writer | None,
        served: Callable[[], Iterable[SnapshotModel]],
        is_registered: Callable[[ModelKey], bool],
        chosen_defaults: Set[str],
        workflows: Callable[[], Iterable[SnapshotWorkflow]] = tuple,
        resumed: ModelSnapshot | None = None,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._writer = writer
        self._served = served
        self._workflows = workflows
        self._is_registered = is_registered
        self._chosen_defaults = chosen_defaults
        self._pause_s = pause_s
        self._missing = {_key(model): model for model in (resumed.models if resumed else ())}
        self._missing_workflows = {workflow.name: workflow for workflow in (resumed.workflows if resumed else ())}
        self._is_resumed = resumed is not None
        self._has_changed = resumed is not None and resumed.resume
        self._all_loaded: bool | None = None
        self._wanted: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._written = asyncio.Event()
        self._closing = asyncio.Event()
        self._failing = False

    def changed(self) -> None:
        """Notes that a client registered, scaled, unregistered or chose a default."""
        self._has_changed = True
        if self._is_resumed or self._all_loaded is not None:  # else the startup models would be left out
            self._want("snapshot")

    async def started(self, *, loaded: Sequence[SnapshotModel], all_loaded: bool) -> None:
        """``loaded``: what was resumed, under whatever version its archive says. Returns once that is written or
        failed; does not wait for a disk that hangs."""
        for model in loaded:
            self._missing.pop(_key(model), None)
        self._all_loaded = all_loaded
        self._written.clear()
        self._want("startup")
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._written.wait(), _WRITE_TIMEOUT_S)
        except asyncio.TimeoutError:
            log.warning("The snapshot of this start could not be written in time")

    def forget(self, name: str, version: str | None) -> None:
        """Drops models that could not be resumed: they were unregistered. None: every version."""
        found = [key for key in self._missing if key.name == name and version in (None, "", key.version)]
        for key in found:
            del self._missing[key]
        if found:
            self.changed()

    def forget_workflow(self, name: str) -> None:
        """Drops a workflow, as `forget` drops models."""
        if self._missing_workflows.pop(name, None) is not None:
            self.changed()

    async def close(self) -> None:
        """Writes the last snapshot. Waits for a slow disk, not for one that hangs. Idempotent.

        A start that was cut short writes none: the snapshot before it is more complete.
        """
        done = self._writer is None or self._closing.is_set()
        self._closing.set()
        if done or self._all_loaded is None:
            return
        try:
            await asyncio.wait_for(self._write_last(), _WRITE_TIMEOUT_S)
        except asyncio.TimeoutError:
            log.warning("The snapshot of this stop could not be written in time")

    def _want(self, kind: str) -> None:
        if self._writer is None or self._closing.is_set():
            return
        self._wanted = kind if self._wanted is None else self._wanted
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_wanted())

    async def _write_wanted(self) -> None:
        while self._wanted is not None and not self._closing.is_set():
            kind, self._wanted = self._wanted, None
            await self._write(kind)
            await self._rest()

    async def _rest(self) -> None:
        """Limits a burst of changes to ten files a second."""
        try:
            await asyncio.wait_for(self._closing.wait(), self._pause_s)
        except asyncio.TimeoutError:
            pass  # not closing

    async def _write_last(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._write("shutdown")

    async def _write(self, kind: str) -> None:
        assert self._writer is not None
        writer, snapshot = self._writer, self.capture()
        try:
            file = await _in_thread(lambda: writer.write(kind, snapshot))
        except Exception as error:
            self._warn_once(error)
            return
        finally:
            self._written.set()
        if self._failing:
            self._failing = False
            log.info("Snapshots are written again: %s", file.name)

    def _warn_once(self, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "Snapshots cannot be written (%s): until this is fixed, a restart resumes the last one written",
                getattr(error, "strerror", None) or error,
                extra={"event": "snapshot_failed"},
            )
        self._failing = True

    def capture(self) -> ModelSnapshot:
        self._missing = {key: model for key, model in self._missing.items() if not self._is_registered(key)}
        awaited = {model.name for model in self._missing.values() if model.default} - self._chosen_defaults
        models = [
            *(replace(model, default=model.default and model.name not in awaited) for model in self._served()),
            *(replace(model, default=model.default and model.name in awaited) for model in self._missing.values()),
        ]
        served = {workflow.name: workflow for workflow in self._workflows()}
        self._missing_workflows = {
            name: workflow for name, workflow in self._missing_workflows.items() if name not in served
        }
        workflows = (*served.values(), *self._missing_workflows.values())
        complete = self._is_resumed or (self._all_loaded is True and bool(models or workflows))
        return ModelSnapshot(tuple(models), resume=self._has_changed or complete, workflows=workflows)


def _key(model: SnapshotModel) -> ModelKey:
    return ModelKey(model.name, model.version)


async def _in_thread(work: Callable[[], T]) -> T:
    """Runs ``work`` in a thread that does not delay the end of the process: a disk may hang."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(done: Callable[[T], None], value: T) -> None:
        if not future.done():
            done(value)

    def run() -> None:
        outcome: tuple[Any, Any]
        try:
            outcome = future.set_result, work()
        except Exception as error:
            outcome = future.set_exception, error
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    threading.Thread(target=run, name="stoker-snapshot", daemon=True).start()
    return await future
