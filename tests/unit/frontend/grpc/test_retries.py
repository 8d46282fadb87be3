"""When a stuck stream is tried again. The event loop is a list of planned calls that the test runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoker.frontend.grpc import retries as module
from stoker.frontend.grpc.retries import FIRST_DELAY_S, LONGEST_DELAY_S, QUICK_TURNS, Retries


class Timer:
    def cancel(self) -> None: ...


class Loop:
    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        self.later.append((delay_s, call))
        return Timer()

    def turn(self) -> None:
        planned, self.soon = self.soon, []
        for call in planned:
            call()

    def tick(self) -> float:
        (delay_s, call), self.later = self.later[0], self.later[1:]
        call()
        return delay_s


class Stream:
    def __init__(self, *, full_for: int) -> None:
        self.turns = 0
        self.full_for = full_for
        self.tries = 0

    def retry(self) -> bool:
        self.tries += 1
        return self.tries > self.full_for


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()

    class Asyncio:
        TimerHandle: Any = Timer

        @staticmethod
        def get_running_loop() -> Loop:
            return made

    monkeypatch.setattr(module, "asyncio", Asyncio)
    return made


def test_a_stream_that_is_full_for_a_moment_is_tried_in_the_next_turns_and_forgotten(loop: Loop) -> None:
    retries, stream = Retries(), Stream(full_for=2)
    retries.add(stream)
    for _ in range(3):
        loop.turn()
    assert (stream.tries, len(retries), loop.soon, loop.later) == (3, 0, [], [])


def test_streams_that_stay_full_share_one_timer_that_slows_down(loop: Loop) -> None:
    retries = Retries()
    streams = [Stream(full_for=10**9) for _ in range(64)]
    for stream in streams:
        retries.add(stream)
    for _ in range(QUICK_TURNS):
        loop.turn()
    assert (loop.soon, len(loop.later)) == ([], 1)
    delays = [loop.tick() for _ in range(10)]
    assert delays[0] == FIRST_DELAY_S
    assert delays[-1] == LONGEST_DELAY_S
    assert len(loop.later) == 1


def test_the_timer_is_quick_again_when_anything_moved_and_ends_with_the_last_stream(loop: Loop) -> None:
    retries = Retries()
    moving, stuck = Stream(full_for=QUICK_TURNS + 6), Stream(full_for=QUICK_TURNS + 8)
    for stream in (moving, stuck):
        retries.add(stream)
    for _ in range(QUICK_TURNS):
        loop.turn()
    delays = [loop.tick() for _ in range(9)]
    assert delays[6] == LONGEST_DELAY_S
    assert delays[7] == FIRST_DELAY_S
    assert (len(retries), loop.later) == (0, [])
