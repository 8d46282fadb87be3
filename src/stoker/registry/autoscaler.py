"""Scales models by their load: samples them at each tick, and carries out what `scheduling.autoscaling` decides.

The timer runs only while a model with autoscaling has workers; a model that sleeps is woken by its scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from math import inf

from stoker.core.clock import Clock
from stoker.pool.memory import available_percent
from stoker.pool.slot_states import State
from stoker.registry.entry import ModelEntry, Scaling
from stoker.scheduling.autoscaling import Autoscaling, Decision, Sample

log = logging.getLogger(__name__)

TICK_S = 0.5
_FAILING = (State.BACKOFF.name, State.GIVEN_UP.name, State.PENDING.name)
_BETWEEN_UNLOADS_S = 10.0  # it takes a while until the memory of an unloaded model is available


class Autoscaler:
    """``changed``: called after the number of a model's workers has changed. ``available``: returns the available
    memory in percent; below ``low_memory_percent``, idle models are unloaded."""

    def __init__(
        self,
        clock: Clock,
        *,
        changed: Callable[[], None],
        low_memory_percent: float,
        available: Callable[[], float] = available_percent,
    ) -> None:
        self._now = clock.now
        self._changed = changed
        self._low_memory_percent = low_memory_percent
        self._available = available
        self._entries: set[ModelEntry] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unloaded_at = -inf

    def watch(self, entry: ModelEntry) -> None:
        """Starts scaling a model whose first workers were just requested."""
        spec = entry.spec
        policy = Autoscaling(
            target_wait_s=spec.autoscale_target_wait_s,
            batch_size=1 if spec.concurrent else spec.batch_size,
            slots=(spec.async_jobs or spec.batch_size) if spec.concurrent else 1,
        )
        policy.restart(self._now())
        entry.scaling = Scaling(policy, changed_at=time.time())
        self._entries.add(entry)
        self._prepare(entry)

    def scaled_by_hand(self, entry: ModelEntry) -> None:
        """Goes on within the bounds that an operator has set."""
        if entry.scaling is None:
            return
        entry.scaling.policy.restart(self._now())
        bounds = f"between {entry.min_workers} and {entry.max_workers} workers"
        self._note(entry, f"scaled by hand: {bounds}")
        log.info("Model %s is scaled by hand: autoscaling goes on %s", entry.key, bounds, extra=_event(entry))
        self._prepare(entry)

    def forget(self, entry: ModelEntry) -> None:
        self._entries.discard(entry)
        entry.scheduler.let_sleep(None)
        if not self._entries and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def running(self) -> bool:
        """Tells whether the timer is set."""
        return self._timer is not None

    def _prepare(self, entry: ModelEntry) -> None:
        entry.scheduler.let_sleep(partial(self._wake, entry) if entry.may_sleep else None)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None and any(entry.target for entry in self._entries):
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for entry in list(self._entries):
            try:
                self._scale(entry)
            except Exception:  # a bug with one model must not end the scaling of others
                log.exception("Model %s could not be scaled", entry.key)
        self._unload_one()
        self._set_timer()

    def _scale(self, entry: ModelEntry) -> None:
        scaling, now = entry.scaling, self._now()
        if scaling is None or not entry.target:
            return
        states = entry.pool.states()
        failing = sum(states.get(name, 0) for name in _FAILING)
        load = entry.scheduler.load()
        sample = Sample(now, load, entry.target, states.get(State.READY.name, 0), failing)
        fewest = max(entry.min_workers, 0 if entry.may_sleep else 1, load.held)
        decision = scaling.policy.decide(sample, fewest=fewest, most=entry.max_workers)
        if decision is not None:
            change = "sleep" if not decision.workers else "up" if decision.workers > entry.target else "down"
            self._carry_out(entry, scaling, decision, change)

    def _unload_one(self) -> None:
        """If memory is short, unloads the model that has been idle for longest, among those that may be unloaded."""
        now = self._now()
        idle = {entry: scaling for entry in self._entries if (scaling := _unloadable(entry, now)) is not None}
        if not idle or now - self._unloaded_at < _BETWEEN_UNLOADS_S:
            return
        available = self._available()
        if available >= self._low_memory_percent:
            return
        self._unloaded_at = now
        entry, scaling = max(idle.items(), key=lambda item: item[1].policy.idle_s(now))
        idle_s = scaling.policy.idle_s(now)
        reason = f"no request for {idle_s:.0f} s, and only {available:.0f} % of the memory is available"
        self._carry_out(entry, scaling, Decision(0, reason), "sleep")

    def _wake(self, entry: ModelEntry) -> None:
        scaling = entry.scaling
        if scaling is None or not entry.asleep:
            return
        scaling.policy.woken(self._now())
        self._carry_out(entry, scaling, Decision(max(1, entry.min_workers), "a request woke the model"), "wake")
        self._set_timer()

    def _carry_out(self, entry: ModelEntry, scaling: Scaling, decision: Decision, change: str) -> None:
        before = entry.target
        scaling.changes[change] += 1
        self._note(entry, decision.reason)
        text = "Model %s is scaled from %d to %d workers: %s"
        log.info(text, entry.key, before, decision.workers, decision.reason, extra=_event(entry))
        entry.resize(decision.workers)
        self._changed()

    def _note(self, entry: ModelEntry, reason: str) -> None:
        if entry.scaling is not None:
            entry.scaling.reason, entry.scaling.changed_at = reason, time.time()


def _unloadable(entry: ModelEntry, now: float) -> Scaling | None:
    scaling, after_s = entry.scaling, entry.spec.unload_after_s
    if scaling is None or not entry.target or not entry.may_sleep or after_s <= 0:
        return None
    return scaling if scaling.policy.idle_s(now) >= after_s and not entry.scheduler.load().held else None


def _event(entry: ModelEntry) -> dict[str, str]:
    return {"event": "autoscaled", "model": entry.key.name, "version": entry.key.version}
