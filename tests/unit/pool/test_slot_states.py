from __future__ import annotations

import pytest

from stoker.errors import WorkerDied
from stoker.pool.slot_states import (
    BACKOFF_S,
    NEXT,
    UNSETTLED,
    Event,
    IllegalTransition,
    Lifecycle,
    Recovery,
    State,
    after,
    backoff_s,
    failure_of_all,
)


def test_every_state_has_a_row_and_every_target_is_a_state() -> None:
    assert set(NEXT) == set(State)
    assert all(isinstance(target, State) for row in NEXT.values() for target in row.values())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_event_that_a_state_does_not_list_raises(state: State, event: Event) -> None:
    if event in NEXT[state]:
        assert after(state, event) is NEXT[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event.name} while {state.name}"):
            after(state, event)


def test_every_state_but_the_last_can_be_retired_or_is_being_retired() -> None:
    for state in set(State) - {State.STOPPED, State.DRAINING}:
        assert NEXT[state][Event.RETIRE] in (State.DRAINING, State.STOPPED)


def test_every_state_leads_to_the_end() -> None:
    reached = {State.STOPPED}
    while grown := {s for s in State if s not in reached and reached & set(NEXT[s].values())}:
        reached |= grown
    assert reached == set(State)


def test_a_state_with_a_process_or_the_wait_for_one_reacts_to_its_end() -> None:
    with_process = {State.STARTING, State.PENDING, State.LOADING, State.READY, State.DRAINING}
    assert {state for state in State if Event.EXITED in NEXT[state]} == with_process
    assert with_process - {State.READY, State.PENDING} == UNSETTLED


def test_delays_are_torchserves_and_constant_at_the_end() -> None:
    assert [backoff_s(n) for n in range(1, 8)] == [1, 1, 2, 3, 5, 8, 13]
    assert backoff_s(17) == backoff_s(1000) == BACKOFF_S[-1] == 1597


def test_recovery_counts_from_the_first_failure_until_a_load() -> None:
    recovery = Recovery(max_retry_s=300)
    assert not recovery.running
    assert [recovery.failed(now) for now in (100.0, 101.0, 102.0)] == [1, 2, 3]
    assert recovery.since == 100.0
    assert not recovery.exhausted(399.9)
    assert recovery.exhausted(400.0)
    recovery.loaded()
    assert not recovery.running
    assert not recovery.exhausted(1e9)
    assert recovery.failed(500.0) == 1
    assert recovery.since == 500.0


WRONG = WorkerDied("the weights are for another model")


def passed(*events: Event) -> Lifecycle:
    it = Lifecycle()
    for event in events:
        it.enter(event, WRONG if event is Event.EXITED else None)
    return it


FAILED = (Event.EXITED,)
FAILED_TO_LOAD = (Event.GREETED, Event.EXITED)
READY = (Event.GREETED, Event.LOADED)
DIED = (*READY, Event.EXITED)


@pytest.mark.parametrize("failed", [FAILED, FAILED_TO_LOAD, (*FAILED, Event.GIVE_UP), (*DIED, Event.RETRY, *FAILED)])
def test_a_model_whose_slots_all_failed_to_start_has_their_failure(failed: tuple[Event, ...]) -> None:
    assert failure_of_all([passed(*failed)]) is WRONG
    assert failure_of_all([passed(*failed), passed(*FAILED_TO_LOAD), passed(*FAILED)]) is WRONG


@pytest.mark.parametrize(
    "other", [(), (Event.GREETED,), READY, DIED, (*FAILED, Event.RETRY), (*DIED, Event.RETRY, Event.GREETED)]
)
def test_a_model_of_which_one_slot_may_come_or_come_back_is_not(other: tuple[Event, ...]) -> None:
    assert failure_of_all([passed(*FAILED), passed(*other)]) is None
    assert failure_of_all([passed(*other)]) is None


def test_without_slots_nothing_has_failed() -> None:
    assert failure_of_all([]) is None


def test_an_event_that_raises_leaves_the_slot_as_it_was() -> None:
    it = passed(*FAILED)
    with pytest.raises(IllegalTransition):
        it.enter(Event.LOADED)
    assert it.state is State.BACKOFF
    assert it.start_failure is WRONG


def test_a_slot_without_room_for_a_process_has_failed_to_start_until_there_is_room() -> None:
    lifecycle, shortage = Lifecycle(), WorkerDied("no GPU")
    lifecycle.enter(Event.NO_ROOM, shortage)
    assert (lifecycle.state, lifecycle.start_failure) == (State.PENDING, shortage)
    assert State.PENDING not in UNSETTLED
    assert failure_of_all([lifecycle]) is shortage
    lifecycle.enter(Event.ROOM)
    assert (lifecycle.state, lifecycle.start_failure) == (State.STARTING, None)
