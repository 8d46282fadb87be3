"""Payloads that arrive in pieces."""

from __future__ import annotations

import pytest

from stoker.core.payloads import Assembly, allocated

LARGE = bytes(range(251)) * 9000


@pytest.mark.parametrize("size", [0, 1, 1000, 128 << 10, (128 << 10) + 1, len(LARGE)])
@pytest.mark.parametrize("piece", [60_000, 1 << 17, 1 << 30])
def test_a_payload_is_the_same_however_it_was_cut(size: int, piece: int) -> None:
    assembly, sent = Assembly(size), LARGE[:size]
    for start in range(0, size, piece):
        assert not assembly.complete
        assert assembly.fill(sent[start : start + piece]) == len(sent[start : start + piece])
    assert assembly.complete
    assert assembly.take() == sent


def test_what_follows_a_payload_is_left() -> None:
    assembly = Assembly(3)
    assert assembly.fill(b"--ab", 2) == 4
    assert assembly.fill(b"cdef") == 1
    assert assembly.take() == b"abc"
    assert assembly.fill(b"more") == 0


def test_a_promise_takes_no_memory_before_data_comes() -> None:
    assembly = Assembly(1 << 40)
    assembly.fill(b"x" * 1000)
    assert assembly.filled == 1000


def test_allocated_memory_has_the_size_that_was_asked_for() -> None:
    for size in (0, 1, 5 << 20):
        found = allocated(size)
        found[:] = LARGE[:size].ljust(size)
        assert len(found) == size
