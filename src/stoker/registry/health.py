"""Tells whether the server is healthy and whether a model is ready; caches health until something changes.

There are two rules on purpose: Ping follows TorchServe's, which tolerates workers that restart; the health service
requires workers that are ready now.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Sequence

from stoker.core.clock import Clock
from stoker.core.ports import Health, Readiness
from stoker.pool.slot_states import State
from stoker.registry.catalog import Catalog
from stoker.registry.entry import ModelEntry

log = logging.getLogger(__name__)


class HealthView:
    """Call `changed` whenever health may have changed, however often: listeners are called at most once per turn."""

    def __init__(self, catalog: Catalog[ModelEntry], *, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._listeners: dict[int, Callable[[], None]] = {}
        self._next_listener = 0
        self._notify_due = False
        self._healthy = True
        self._healthy_until = -math.inf
        self.failed: Sequence[str] = ()
        """Startup models that could not be loaded."""
        self.stopping = False

    def healthy(self) -> bool:
        """Applies TorchServe's rule for Ping: each default version has at least its minimum of healthy workers. A
        worker is healthy until it has been failing for `max_retry_timeout_s`."""
        if self._clock.now() >= self._healthy_until:
            self._refresh()
        return self._healthy

    def _refresh(self) -> None:
        now, until = self._clock.now(), math.inf
        self._healthy = True
        for entry in self._catalog.defaults():
            healthy = 0
            for status in entry.pool.statuses():
                ends = math.inf
                if not status.ready and status.failing_since_s is not None:
                    ends = status.failing_since_s + entry.spec.max_retry_timeout_s
                if now < ends:
                    healthy += 1
                    until = min(until, ends)
            self._healthy = self._healthy and healthy >= entry.workers_due
        self._healthy_until = until

    def health(self, name: str) -> Health:
        """Returns the health of the server, for ``""``, or of a ``MODEL`` or ``MODEL/VERSION``."""
        if not name:
            return _health(not self.stopping and self.healthy())
        model, _, version = name.partition("/")
        entry = self._catalog.find(model, version)
        if entry is None:
            return Health.UNKNOWN
        return _health(self.ready(entry))

    def ready(self, entry: ModelEntry) -> bool:
        if self.stopping:
            return False
        return entry.asleep or entry.ready_workers() >= max(1, entry.min_workers)

    def readiness(self) -> Readiness:
        if self.stopping:
            return Readiness(ready=False, reason="The server is stopping.", models=self._lacking_workers())
        missing = (*self.failed, *self._lacking_workers())
        return Readiness(ready=not missing, reason=" ".join(self._shortages()), models=missing)

    def _shortages(self) -> Iterator[str]:
        """Yields what the cluster lacks for each model that has too few workers."""
        for entry in self._catalog:
            pending = [status.failure for status in entry.pool.statuses() if status.state == State.PENDING.name]
            if pending and entry.ready_workers() < entry.workers_due:
                yield f"{entry.key} is waiting for room: {pending[0]}."

    def _lacking_workers(self) -> tuple[str, ...]:
        """Returns the models that have too few ready workers, as MODEL/VERSION."""
        return tuple(str(entry.key) for entry in self._catalog if entry.ready_workers() < entry.workers_due)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        number = self._next_listener
        self._next_listener += 1
        self._listeners[number] = listener

        def unsubscribe() -> None:
            self._listeners.pop(number, None)

        return unsubscribe

    def changed(self) -> None:
        self._healthy_until = -math.inf
        if self._listeners and not self._notify_due:
            self._notify_due = True
            asyncio.get_running_loop().call_soon(self._notify)

    def _notify(self) -> None:
        self._notify_due = False
        for listener in list(self._listeners.values()):
            try:
                listener()
            except Exception:  # a bug in one listener must not affect the others
                log.exception("A listener for health changes failed")


def _health(serving: bool) -> Health:
    return Health.SERVING if serving else Health.NOT_SERVING
