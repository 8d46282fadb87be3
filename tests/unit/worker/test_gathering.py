"""When parts of a stream leave: at once, unless the stream is dense."""

from __future__ import annotations

import pytest

from stoker.ipc.to_server import MOST_PARTS
from stoker.worker.gathering import Gathering


def leaving(gathering: Gathering, gaps_ms: list[float], *, nbytes: int = 10, start: float = 100.0) -> str:
    """A letter per part: ``.`` it is held, ``!`` it leaves with all that is held."""
    now, decisions = start, ""
    for gap in gaps_ms:
        now += gap / 1000
        leaves = gathering.add(nbytes, now)
        if leaves:
            gathering.take(1)
        decisions += "!" if leaves else "."
    return decisions


@pytest.mark.parametrize("gap_ms", [20.0, 1.0, 0.6])
def test_parts_that_come_now_and_then_leave_at_once(gap_ms: float) -> None:
    assert leaving(Gathering(), [gap_ms] * 100) == "!" * 100


def test_the_first_of_a_dense_stream_leave_at_once() -> None:
    assert leaving(Gathering(), [0.01] * 5) == "!!!.."


def test_two_or_three_quick_parts_now_and_then_are_no_dense_stream() -> None:
    assert leaving(Gathering(), [20.0, 0.01, 0.01] * 20) == "!" * 60


def test_a_dense_stream_leaves_once_a_millisecond() -> None:
    decisions = leaving(Gathering(), [0.1] * 100)
    assert decisions.startswith("!!!..........!")
    assert max(map(len, decisions.split("!"))) <= 11


def test_a_part_after_a_pause_leaves_at_once_and_takes_along_what_is_held() -> None:
    assert leaving(Gathering(), [0.01] * 6 + [0.7, 0.01]) == "!!!...!!"


def test_much_leaves_before_its_time() -> None:
    assert leaving(Gathering(), [0.001] * 12, nbytes=4000) == "!!!....!....", "five make 20,000 bytes"


def test_no_message_holds_more_parts_than_the_server_takes() -> None:
    decisions = leaving(Gathering(), [0.0] * (MOST_PARTS + 3), nbytes=0)
    assert decisions == "!!!" + "." * (MOST_PARTS - 1) + "!"
