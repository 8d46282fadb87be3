"""The end of a turn: what is put there happens once, in order, in the same turn where that is possible."""

from __future__ import annotations

import asyncio

import pytest

from stoker.core.turn import current_turn


async def test_what_a_callback_defers_is_done_as_it_ends_in_order() -> None:
    done: list[str] = []
    turn = current_turn()

    def callback(word: str) -> None:
        turn.defer(lambda: done.append(word))
        turn.defer(lambda: done.append("second"))
        assert done == []

    turn.run(callback, "first")
    assert done == ["first", "second"]


async def test_what_is_done_may_defer_more_for_the_same_turn() -> None:
    done: list[str] = []
    turn = current_turn()

    def callback() -> None:
        turn.defer(lambda: turn.defer(lambda: done.append("write")))
        turn.defer(lambda: done.append("dispatch"))

    turn.run(callback)
    assert done == ["dispatch", "write"]


async def test_outside_of_a_callback_it_is_done_in_the_loops_next_turn() -> None:
    done: list[str] = []
    current_turn().defer(lambda: done.append("it"))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["it"]


async def rounds(callbacks: int, count: int) -> list[int]:
    """How often the end of the turn came in each round of the loop with so many callbacks."""
    turn, loop, ends = current_turn(), asyncio.get_running_loop(), [0]

    def end() -> None:
        ends[-1] += 1

    def callback(planned: list[bool]) -> None:
        if not planned[0]:
            planned[0] = True
            turn.defer(lambda: (end(), planned.__setitem__(0, False)))

    for _ in range(count):
        planned = [False]
        for _ in range(callbacks):
            loop.call_soon(turn.run, callback, planned)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ends.append(0)
    return ends[:-1]


async def test_callbacks_that_come_together_share_one_end_of_the_turn() -> None:
    assert (await rounds(callbacks=50, count=20))[-1] == 1


async def test_callbacks_that_come_alone_again_end_their_turn_themselves() -> None:
    await rounds(callbacks=50, count=20)
    assert current_turn().gathers
    await rounds(callbacks=1, count=20)
    assert not current_turn().gathers


async def test_work_that_defers_itself_for_ever_lets_others_have_their_turn() -> None:
    turn, count = current_turn(), 0

    def again() -> None:
        nonlocal count
        count += 1
        turn.defer(again)

    turn.run(turn.defer, again)
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

    def callback() -> None:
        turn.defer(fail)
        turn.defer(lambda: done.append("it"))

    with pytest.raises(RuntimeError):
        turn.run(callback)
    await asyncio.sleep(0)
    assert done == ["it"]
