"""What the actor does around the agent, without Ray."""

from __future__ import annotations

import os
from typing import Any

import pytest

from stoker.node import agent
from stoker.ray import actor
from stoker.ray.actor import AgentActor


class FakeTimer:
    made: list[tuple[float, Any, tuple[int]]]
    daemon = False

    def __init__(self, seconds: float, function: Any, arguments: tuple[int]) -> None:
        self._what = seconds, function, arguments

    def start(self) -> None:
        assert self.daemon, "it would hold up the end of the process"
        FakeTimer.made.append(self._what)


@pytest.fixture(autouse=True)
def no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTimer.made = []
    monkeypatch.setattr(actor.threading, "Timer", FakeTimer)


@pytest.mark.parametrize("error", [None, OSError("the server cannot be reached")])
def test_the_process_ends_by_itself_where_ray_has_forgotten_it(
    monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    def run(order: bytes, *, node: str) -> None:
        assert not FakeTimer.made
        if error is not None:
            raise error

    monkeypatch.setattr(agent, "run", run)
    try:
        AgentActor().run(b"order", "node-1")
    except OSError as raised:
        assert raised is error
    assert FakeTimer.made == [(actor._RELEASED_S, os._exit, (0,))]


def test_the_worker_gets_nothing_of_rays_and_the_priority_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    priorities: list[tuple[int, int, int]] = []
    monkeypatch.setenv("RAY_JOB_ID", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(os, "getpriority", lambda kind, who: {os.getppid(): 5}[who])
    monkeypatch.setattr(os, "setpriority", lambda *what: priorities.append(what))
    monkeypatch.setattr(agent, "run", lambda order, *, node: seen.update(os.environ))
    AgentActor().run(b"order", "node-1")
    assert priorities == [(os.PRIO_PROCESS, 0, 5)]
    assert "RAY_JOB_ID" not in seen
    assert seen["OMP_NUM_THREADS"] == "3"


def test_a_priority_that_may_not_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(agent, "run", lambda order, *, node: None)
    AgentActor().run(b"order", "node-1")


def test_the_interface_of_an_address_is_found_by_it() -> None:
    assert actor._interface_of("127.0.0.1") == "lo"
    assert actor._interface_of("192.0.2.1") == ""
