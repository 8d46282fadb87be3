"""Buffers to be sent, cut into slices."""

from __future__ import annotations

import pytest

from stoker.frontend.backlog import Backlog

PARTS = (b"head", bytearray(b"0123456789"), b"", memoryview(b"the end"))


@pytest.mark.parametrize("most", [1, 3, 4, 5, 100])
def test_the_bytes_are_the_same_however_they_are_cut(most: int) -> None:
    backlog, taken = Backlog(), list[bytes]()
    for part in PARTS:
        backlog.add(part)
    while backlog:
        left = backlog.size
        taken.append(bytes(backlog.take(most)))
        assert len(taken[-1]) == left - backlog.size <= most
    assert b"".join(taken) == b"head0123456789the end"
    assert (backlog.size, backlog.kept) == (0, 0)


def test_a_buffer_is_kept_whole_to_its_end() -> None:
    backlog = Backlog()
    backlog.add(bytes(10))
    backlog.add(bytes(5))
    backlog.take(9)
    assert (backlog.size, backlog.kept) == (6, 15)
    backlog.take(9)
    assert (backlog.size, backlog.kept) == (5, 5)
    backlog.clear()
    assert not backlog and backlog.kept == 0


def test_slices_are_views() -> None:
    backlog, buffer = Backlog(), bytearray(b"abc")
    backlog.add(buffer)
    taken = backlog.take(2)
    buffer[0] = ord("x")
    assert taken == b"xb"
