from __future__ import annotations

from collections.abc import Callable

import pytest

from stoker.frontend import trimming
from stoker.frontend.trimming import Trimming


class Loop:
    """A loop whose clock `pass_` moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.planned.append((self.now + seconds, call))

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self.planned and self.planned[0][0] <= end:
            self.now, call = self.planned.pop(0)
            call()
        self.now = end


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(trimming.asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def trims() -> list[int]:
    return []


def close(trimmed: Trimming, connections: int) -> None:
    for _ in range(connections):
        trimmed.closed()


def test_few_closed_connections_give_no_memory_back(loop: Loop, trims: list[int]) -> None:
    close(Trimming(trims.append), trimming._AFTER_CLOSED - 1)
    loop.pass_(60)
    assert trims == []


def test_memory_is_given_back_once_after_the_last_of_a_crowd_has_closed(loop: Loop, trims: list[int]) -> None:
    trimmed = Trimming(trims.append)
    for _ in range(4):
        close(trimmed, 100)
        loop.pass_(0.9)
    assert trims == []
    loop.pass_(60)
    assert trims == [0]
    trimmed.closed()
    loop.pass_(60)
    assert trims == [0]


def test_connections_that_close_all_the_time_do_not_put_it_off_for_ever(loop: Loop, trims: list[int]) -> None:
    trimmed = Trimming(trims.append)
    for _ in range(120):
        close(trimmed, 1)
        loop.pass_(0.5)
    assert 3 <= len(trims) <= 6


def test_the_c_library_is_asked_where_it_can_trim() -> None:
    trimming._malloc_trim()(0)
