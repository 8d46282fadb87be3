"""Slots of one model that fail to start take turns."""

from __future__ import annotations

from stoker.pool.retries import SHARED_ROWS, Retries
from stoker.pool.slot_states import BACKOFF_S


class Slots:
    """``count`` slots that fail whenever they try, on a clock that jumps to the next try."""

    def __init__(self, count: int) -> None:
        self.retries = Retries()
        self.now = 100.0
        self.tries: list[tuple[int, float]] = []
        for slot in range(count):
            self.retries.failed(slot, 1, self.now)
        self.slots = list(range(count))

    def next_try(self) -> int:
        """The slot that tries next; nobody else may meanwhile."""
        waits = {slot: self.retries.wait_s(slot, self.now) for slot in self.slots}
        self.now += min(wait for wait in waits.values() if wait is not None)
        (slot,) = [slot for slot in self.slots if self.retries.wait_s(slot, self.now) == 0]
        self.tries.append((slot, self.now - 100.0))
        self.retries.trying(slot)
        assert 0 not in [self.retries.wait_s(other, self.now) for other in self.slots if other != slot]
        return slot

    def fails(self, slot: int) -> int:
        return self.retries.failed(slot, 1, self.now)


def test_one_slot_alone_keeps_torchserves_delays() -> None:
    slots = Slots(1)
    delays = [slots.fails(slots.next_try()) for _ in range(6)]
    assert delays == [1, 2, 3, 5, 8, 13]


def test_six_slots_that_fail_cost_one_start_per_delay_and_take_turns() -> None:
    slots = Slots(6)
    for _ in range(7):
        slots.fails(slots.next_try())
    assert slots.tries == [(0, 3), (1, 8), (2, 16), (3, 29), (4, 50), (5, 84), (0, 139)]
    assert BACKOFF_S[SHARED_ROWS] == 3


def test_a_try_that_succeeds_lets_all_others_go_at_once() -> None:
    slots = Slots(4)
    slots.fails(slots.next_try())
    first = slots.next_try()
    assert slots.retries.loaded(first)
    assert [slots.retries.wait_s(slot, slots.now) for slot in slots.slots] == [0, 0, 0, 0]
    for slot in (2, 3):
        slots.retries.trying(slot)
    assert slots.retries.wait_s(0, slots.now) == 0, "who is free waits for nobody's try"


def test_a_free_slot_that_fails_again_waits_longer_than_before() -> None:
    slots = Slots(3)
    slots.retries.loaded(slots.next_try())
    assert slots.retries.failed(1, 1, slots.now) == BACKOFF_S[1], "its second failure, while nobody else fails"
    assert slots.retries.failed(2, 1, slots.now) == BACKOFF_S[1 + SHARED_ROWS], "now there are two"
    assert slots.retries.wait_s(1, slots.now) == BACKOFF_S[1 + SHARED_ROWS], "they are alike"


def test_a_slot_that_starts_to_fail_is_not_held_up_by_one_that_has_failed_for_long() -> None:
    slots = Slots(1)
    for _ in range(9):
        slots.fails(slots.next_try())
    assert slots.retries.wait_s(0, slots.now) == 55
    assert slots.retries.failed(7, 1, slots.now) == 3
    slots.slots.append(7)
    assert slots.next_try() == 7
    slots.retries.loaded(7)
    assert slots.retries.wait_s(0, slots.now) == 0


def test_the_failure_of_one_that_fails_for_long_does_not_hold_up_the_new_one() -> None:
    slots = Slots(1)
    for _ in range(9):
        slots.fails(slots.next_try())
    slots.next_try()
    slots.retries.failed(7, 1, slots.now)
    slots.fails(0)
    assert slots.retries.wait_s(7, slots.now) == 3


def test_the_count_of_a_slot_that_died_while_it_served_goes_on() -> None:
    assert Retries().failed(1, 3, 0.0) == 2


def test_a_retired_slot_does_not_keep_its_turn() -> None:
    slots = Slots(2)
    slots.retries.forget(slots.next_try())
    assert slots.retries.wait_s(1, slots.now) == 0
    slots.retries.trying(1)
    assert slots.retries.wait_s(0, slots.now) == 0, "a slot that is not failing never waits"


def test_a_load_after_which_the_process_died_frees_nobody_until_the_worker_is_steady() -> None:
    retries = Retries()
    for slot in (1, 2):
        assert retries.loaded(slot)
        retries.failed(slot, 1, 0.0, after_load=True)
    retries.trying(1)
    assert not retries.loaded(1)
    assert retries.wait_s(2, 10.0) is None
    retries.steady(1)
    assert retries.wait_s(2, 10.0) == 0


def test_processes_that_die_after_each_load_wait_longer_each_time() -> None:
    retries, delays, now = Retries(), [], 0.0
    for _ in range(6):
        assert retries.loaded(1) is not bool(delays)
        delays.append(retries.failed(1, 1, now, after_load=True))
        now += delays[-1]
        retries.trying(1)
    assert delays == [1, 1, 2, 3, 5, 8]
