"""When autoscaling changes the number of workers, and why."""

from __future__ import annotations

import pytest

from stoker.core.ports import Handled, Load
from stoker.scheduling.autoscaling import (
    FALL_S,
    FIRST_CALM_S,
    MINUTE_S,
    SLEEP_AFTER_S,
    UNSURE_S,
    Autoscaling,
    Decision,
    Sample,
)

TICK_S = 0.5


class Model:
    """A model with ``workers``, all of them ready unless ``ready`` says otherwise, and its totals."""

    def __init__(self, *, fewest: int = 1, most: int = 20, workers: int = 1, now: float = 0.0) -> None:
        self.policy = Autoscaling(target_wait_s=0.2)
        self.fewest, self.most, self.workers, self.now = fewest, most, workers, now
        self.ready: int | None = None
        self.jobs = 0
        self.decisions: list[Decision] = []
        self.tick()

    def tick(self, load: Load | None = None, failing: int = 0) -> Decision | None:
        took_s = self.jobs * 0.1
        handled = Handled(self.jobs, self.jobs, self.jobs, took_s, took_s, took_s * 0.1)
        load = (load or Load())._replace(ended=self.jobs, handled=handled)
        ready = self.workers - failing if self.ready is None else self.ready
        sample = Sample(self.now, load, self.workers, ready, failing)
        decision = self.policy.decide(sample, fewest=self.fewest, most=self.most)
        if decision is not None:
            self.workers = decision.workers
            self.decisions.append(decision)
        self.now += TICK_S
        return decision

    def serve(self, rate: float, seconds: float, load: Load | None = None) -> None:
        """Answers ``rate`` requests a second, each of which takes 0.1 s."""
        for _ in range(int(seconds / TICK_S)):
            self.jobs += round(rate * TICK_S)
            self.tick(load or Load(running=1, busy=1))


def test_a_model_without_requests_keeps_its_fewest_workers() -> None:
    model = Model(fewest=2, workers=2)
    model.serve(0, 600, Load())
    assert model.decisions == []


def test_load_that_the_workers_cannot_carry_gets_more_before_anything_waits() -> None:
    model = Model(workers=2)
    model.serve(30, UNSURE_S + 2)
    assert model.workers >= 4  # 30 requests of 0.1 s keep three busy
    assert "workers busy; 4 hold the queue wait under 200 ms" in model.decisions[-1].reason


def test_workers_leave_after_a_calm_and_not_before() -> None:
    model = Model(workers=8)
    model.serve(30, FIRST_CALM_S - 2)
    assert model.workers == 8
    model.serve(30, 5)
    assert 4 <= model.workers < 8
    assert "needed for 20 s" in model.decisions[-1].reason


def test_when_requests_clearly_become_fewer_the_calm_is_short() -> None:
    model = Model(workers=10)
    model.serve(60, 120)
    before = model.workers
    model.serve(4, 2 * FALL_S + 8)
    assert model.workers < before / 2


def test_a_queue_that_waits_past_the_target_gets_what_clears_it() -> None:
    model = Model(workers=4)
    model.serve(20, 20)
    model.tick(Load(waiting=400, oldest_wait_s=0.5, running=4, busy=4))
    assert model.workers > 4
    assert "400 requests" in model.decisions[-1].reason or "requests/s" in model.decisions[-1].reason


def test_before_the_first_answer_workers_double_as_long_as_requests_wait() -> None:
    model = Model(workers=1)
    waiting = Load(waiting=5, oldest_wait_s=1.0, running=1, busy=1)
    decision = model.tick(waiting)
    assert decision is not None
    assert decision.workers == 2
    model.ready = 1
    assert model.tick(waiting) is None  # it starts
    model.ready = 2
    assert model.tick(waiting) is not None


def test_while_workers_fail_to_start_no_more_are_asked_for() -> None:
    model = Model(workers=2)
    model.serve(10, 10)
    waiting = Load(waiting=200, oldest_wait_s=2.0, running=1, busy=1)
    assert model.tick(waiting, failing=1) is None
    assert model.tick(waiting) is not None


def test_a_model_that_may_sleep_does_so_after_a_time_without_requests() -> None:
    model = Model(fewest=0)
    model.serve(10, 10)
    model.serve(0, SLEEP_AFTER_S - 2, Load())
    assert model.workers == 1
    model.serve(0, 5, Load())
    assert model.workers == 0
    assert model.decisions[-1].reason.startswith("no request for 60 s")


def test_a_long_request_keeps_a_model_awake() -> None:
    model = Model(fewest=0)
    model.serve(0, 10 * SLEEP_AFTER_S, Load(running=1, busy=1))
    assert model.workers == 1


@pytest.mark.parametrize(("pause_s", "sleeps_after_s"), [(10.0, 2 * SLEEP_AFTER_S), (200.0, SLEEP_AFTER_S)])
def test_a_model_that_is_woken_soon_stays_awake_for_longer(pause_s: float, sleeps_after_s: float) -> None:
    model = Model(fewest=0)
    model.serve(0, SLEEP_AFTER_S + 2, Load())
    assert model.workers == 0
    model.now += pause_s
    model.policy.woken(model.now)
    model.workers = 1
    model.serve(0, sleeps_after_s - 2, Load())
    assert model.workers == 1
    model.serve(0, 4, Load())
    assert model.workers == 0


def test_a_third_change_within_a_minute_takes_requests_that_wait_many_times_too_long() -> None:
    model = Model(workers=8)
    model.serve(40, 20)
    waits = Load(waiting=1, oldest_wait_s=0.5, running=2, busy=2)
    for _ in range(100):
        model.workers = 2  # as if all help were in vain
        model.serve(40, TICK_S, waits)
    assert len(model.decisions) == 2
    model.workers = 2
    model.serve(40, TICK_S, waits._replace(oldest_wait_s=5.0))
    assert len(model.decisions) == 3


def test_what_grew_stays_for_a_minute_while_requests_do_not_clearly_become_fewer() -> None:
    model = Model(workers=2)
    model.serve(50, UNSURE_S + 2)
    grown = model.workers
    assert grown > 2
    model.serve(42, MINUTE_S - 10)
    assert model.workers == grown
    model.serve(42, 20)
    assert model.workers < grown


def test_before_much_is_known_only_requests_that_wait_get_workers() -> None:
    """What a request costs, and what batches gain, is unsure for a moment: a guess could be many workers too many."""
    model = Model(workers=2)
    model.serve(60, UNSURE_S - 5)
    assert model.workers == 2
    model.tick(Load(waiting=20, oldest_wait_s=0.5, running=2, busy=2))
    assert 2 < model.workers <= 8
