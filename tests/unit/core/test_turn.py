"""The end of a turn: what is put there happens once, in order, in the same turn where that is possible."""

from __future__ import annotations

import asyncio

import pytest

from stoker.core.turn import current_turn


async def test_what_a_callback_defers_is_done_as_it_ends_in_order() -> None:
    done: list[str] = []
    turn = current_turn()
    with turn:
        turn.defer(lambda: done.append("first"))
        turn.defer(lambda: done.append("second"))
        assert done == []
    assert done == ["first", "second"]


async def test_what_is_done_may_defer_more_for_the_same_turn() -> None:
    done: list[str] = []
    turn = current_turn()
    with turn:
        turn.defer(lambda: turn.defer(lambda: done.append("write")))
        turn.defer(lambda: done.append("dispatch"))
    assert done == ["dispatch", "write"]


async def test_outside_of_a_callback_it_is_done_in_the_loops_next_turn() -> None:
    done: list[str] = []
    current_turn().defer(lambda: done.append("it"))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["it"]


async def test_work_that_defers_itself_for_ever_lets_others_have_their_turn() -> None:
    turn, count = current_turn(), 0

    def again() -> None:
        nonlocal count
        count += 1
        turn.defer(again)

    with turn:
        turn.defer(again)
    before = count
    assert before < 10
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert count > before


async def test_one_that_fails_does_not_cost_the_others_their_turn() -> None:
    done: list[str] = []
    turn = current_turn()

    def fail() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError), turn:
        turn.defer(fail)
        turn.defer(lambda: done.append("it"))
    await asyncio.sleep(0)
    assert done == ["it"]


def test_each_loop_has_its_own() -> None:
    async def mine() -> object:
        assert current_turn() is current_turn()
        return current_turn()

    assert asyncio.run(mine()) is not asyncio.run(mine())
