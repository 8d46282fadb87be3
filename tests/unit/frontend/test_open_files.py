"""The connections that a listener takes leave room in the process's limit of open files."""

from __future__ import annotations

import random
import resource

import pytest

from stoker.frontend import open_files
from stoker.frontend.open_files import OpenFiles


@pytest.mark.parametrize(("limit", "possible"), [(1 << 20, 629_148), (20_000, 12_000), (1024, 616), (16, 8)])
def test_a_listener_may_have_most_connections_while_the_others_have_none(limit: int, possible: int) -> None:
    assert open_files.of_one_listener(limit) == possible


def taken_by(share: open_files.FileShare) -> int:
    count = 0
    while share.has_room:
        share.take()
        count += 1
    return count


def test_a_crowd_on_one_listener_leaves_each_of_the_others_a_part() -> None:
    files = OpenFiles(1000)
    crowded, *others = [files.share() for _ in range(5)]
    assert taken_by(crowded) == 800
    assert [taken_by(share) for share in others] == [50, 50, 50, 50]
    assert not crowded.has_room


def test_what_one_listener_gives_back_any_other_may_take() -> None:
    files = OpenFiles(1000)
    first, second = files.share(), files.share()
    assert taken_by(first) == 800
    assert taken_by(second) == 50
    for _ in range(800):
        first.give()
    assert taken_by(second) == 750
    assert taken_by(first) == 50


def test_whatever_is_taken_and_given_back_no_part_is_lost() -> None:
    files = OpenFiles(40)
    shares = [files.share() for _ in range(5)]
    moves = random.Random(7)
    for _ in range(5000):
        share = moves.choice(shares)
        if moves.random() < 0.6:
            if share.has_room:
                share.take()
        elif share.taken:
            share.give()
        assert sum(share.taken for share in shares) <= 40
        assert all(share.has_room for share in shares if share.taken < 8)
    for share in shares:
        while share.taken:
            share.give()
    assert taken_by(shares[0]) == 8


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the process has; the last counts."""
    values = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: values[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, value: values.append(value))
    return values


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, resource.RLIM_INFINITY), (1 << 20, resource.RLIM_INFINITY)),
        ((1024, 1 << 30), (1 << 20, 1 << 30)),
        ((4096, 4096), (4096, 4096)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_and_is_of_use(
    limits: list[tuple[int, int]], before: tuple[int, int], after: tuple[int, int]
) -> None:
    limits.append(before)
    open_files.raise_limit()
    assert limits[-1] == after


def test_a_limit_that_may_not_be_raised_stops_nothing(
    limits: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: int, value: tuple[int, int]) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    open_files.raise_limit()
    assert limits == [(1024, 4096)]


def test_fewer_connections_than_max_connections_are_logged(
    limits: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert open_files.for_connections(100) is not None
    assert caplog.text == ""
    assert open_files.for_connections(10_000) is not None
    assert "may have 616 connections instead of 10000: the process may have 1024 open files" in caplog.text


def test_a_process_without_a_limit_needs_no_shares(limits: list[tuple[int, int]]) -> None:
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert open_files.for_connections(10_000) is None
