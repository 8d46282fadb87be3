"""Output of failing loads: what the log knows already is held back, and nothing else."""

from __future__ import annotations

from stoker.pool.repeats import Repeats


def attempt(repeats: Repeats, *lines: str) -> list[str]:
    """What is logged of an attempt that fails."""
    repeats.begin()
    logged = [text for line in lines for text in repeats.feed(line)]
    return logged + repeats.failed()


def test_the_first_failure_is_logged_as_it_comes() -> None:
    repeats = Repeats()
    repeats.begin()
    assert repeats.feed("a") == ["a"]
    assert repeats.failed() == []
    assert not repeats.again


def test_a_failure_that_differs_only_in_numbers_is_held_back() -> None:
    repeats = Repeats()
    attempt(repeats, "pid 17 at 0x7f00", "ValueError: no")
    assert attempt(repeats, "pid 4711 at 0xabc0", "ValueError: no") == []
    assert repeats.again
    assert attempt(repeats, "pid 1 at 0x1", "ValueError: no") == []


def test_another_failure_is_logged_whole_and_in_order() -> None:
    repeats = Repeats()
    attempt(repeats, "loading", "ValueError: no")
    assert attempt(repeats, "loading", "KeyError: no") == ["loading", "KeyError: no"]
    assert not repeats.again
    assert attempt(repeats, "loading", "KeyError: no") == []


def test_less_and_more_than_before_are_other_failures() -> None:
    repeats = Repeats()
    attempt(repeats, "a", "b")
    assert attempt(repeats, "a") == ["a"]
    assert attempt(repeats, "a", "b") == ["a", "b"]
    assert attempt(repeats, "a", "b", "c") == ["a", "b", "c"]


def test_what_was_held_back_is_logged_when_the_model_loads_after_all() -> None:
    repeats = Repeats()
    attempt(repeats, "loading", "ValueError: no")
    repeats.begin()
    assert repeats.feed("loading") == []
    assert repeats.loaded() == ["loading"]
    assert repeats.feed("ValueError: no") == ["ValueError: no"]
    assert attempt(repeats, "loading") == ["loading"]


def test_output_that_is_too_long_to_remember_is_logged_each_time() -> None:
    repeats = Repeats()
    lines = ["x" * 1000 for _ in range(100)]
    assert attempt(repeats, *lines) == lines
    assert attempt(repeats, *lines) == lines
    assert not repeats.again
