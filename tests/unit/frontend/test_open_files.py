"""The connections that a listener takes leave room in the process's limit of open files."""

from __future__ import annotations

import resource

import pytest

from stoker.frontend import open_files


@pytest.mark.parametrize(
    ("most", "limit", "share"), [(10_000, 1 << 20, 10_000), (10_000, 1024, 153), (20, 1024, 20), (10_000, 16, 8)]
)
def test_five_listeners_together_leave_a_quarter(most: int, limit: int, share: int) -> None:
    assert open_files.within(most, limit) == share


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


def test_fewer_connections_than_max_connections_are_told_in_the_log(
    limits: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert open_files.connections_of_each_listener(100) == 100
    assert caplog.text == ""
    assert open_files.connections_of_each_listener(10_000) == 153
    assert "max_connections is 153 instead of 10000: the process may have 1024 open files" in caplog.text
