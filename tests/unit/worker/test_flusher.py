"""What is held leaves from a thread, which sleeps while nothing is."""

from __future__ import annotations

import sys
import threading

import pytest

from stoker.worker.flusher import Flusher

_PAUSE_S = 0.0001


def test_what_is_held_is_flushed_as_often_as_something_is_held() -> None:
    flushed = threading.Semaphore(0)
    flusher = Flusher(flushed.release, pause_s=_PAUSE_S)
    for _ in range(3):
        flusher.watch()
        assert flushed.acquire(timeout=30)
    assert not flushed.acquire(blocking=False)


def test_something_held_while_it_flushes_is_flushed_next() -> None:
    """Between the look at what is held and going to sleep nothing may be forgotten."""
    flushed = threading.Semaphore(0)
    left = [1000]

    def flush() -> None:
        left[0] -= 1
        if left[0]:
            flusher.watch()
        flushed.release()

    flusher = Flusher(flush, pause_s=_PAUSE_S)
    flusher.watch()
    for _ in range(1000):
        assert flushed.acquire(timeout=30)


def test_threads_take_turns_quicker_while_something_is_held_only() -> None:
    before = sys.getswitchinterval()
    seen: list[float] = []
    done = threading.Event()

    def flush() -> None:
        seen.append(sys.getswitchinterval())
        done.set()

    Flusher(flush, pause_s=_PAUSE_S).watch()
    assert done.wait(30)
    assert seen[0] < before
    while sys.getswitchinterval() != before:
        pass


def test_an_interval_that_the_handler_sets_meanwhile_stays() -> None:
    before = sys.getswitchinterval()
    steps = threading.Semaphore(0)

    def flush() -> None:
        sys.setswitchinterval(0.02)
        steps.release()

    try:
        flusher = Flusher(flush, pause_s=_PAUSE_S)
        flusher.watch()
        assert steps.acquire(timeout=30)
        sys.setswitchinterval(0.02)
        flusher.watch()
        assert steps.acquire(timeout=30)
        assert sys.getswitchinterval() == pytest.approx(0.02)
    finally:
        sys.setswitchinterval(before)
