"""Finished answers that wait for company leave soon, whatever the next call of the handler takes."""

from __future__ import annotations

from typing import Any

import pytest
from worker_rig import Rig

from stoker.ipc.to_server import ToServer
from stoker.worker.context import Context
from stoker.worker.exceptions import ServerGone
from stoker.worker.flusher import Flusher


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.server.socket.settimeout(30)
    return rig


def test_finished_answers_leave_while_a_call_of_a_quick_handler_takes_long(rig: Rig) -> None:
    calls: list[int] = []
    left: list[ToServer] = []

    def handle(data: Any, context: Context) -> Any:
        calls.append(rig.connection.pending_bytes)
        if len(calls) == 4:
            left.extend(rig.server.receive()[0] for _ in range(3))
        return [b"x"]

    for _ in range(5):
        rig.predict(b"x")
    rig.run(handle)
    assert calls[3] > 0
    assert len(left) == 3
    assert len(rig.answers()) == 2


def test_answers_held_between_two_looks_of_the_flusher_leave_at_the_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never writes beside the loop: it looks again."""
    watched: list[Flusher] = []
    monkeypatch.setattr(Flusher, "watch", lambda flusher: watched.append(flusher))

    def handle(data: Any, context: Context) -> Any:
        return [b"x"]

    rig.predict(b"x")
    loop = rig.loop(handle)
    rig.inbox.read(wait=True)
    batch = rig.inbox.waiting.popleft()
    loop._run(batch)
    assert rig.connection.pending_bytes
    assert not watched  # nothing follows: the loop flushes at once
    loop._flush_overdue()
    assert rig.connection.pending_bytes
    assert len(watched) == 1
    rig.inbox.current = batch
    loop._flush_overdue()
    assert not rig.connection.pending_bytes
    assert len(rig.answers()) == 1


def test_a_server_that_is_gone_is_the_loops_to_find(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flusher, "watch", lambda self: None)
    rig.predict(b"x")
    loop = rig.loop(lambda data, context: [b"x"])
    rig.inbox.read(wait=True)
    batch = rig.inbox.waiting.popleft()
    loop._run(batch)
    rig.server.socket.close()
    rig.inbox.current = batch
    loop._flush_overdue()
    with pytest.raises(ServerGone):
        loop.run()


def test_a_lone_request_wakes_no_thread(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(flusher: Flusher) -> None:
        raise AssertionError

    monkeypatch.setattr(Flusher, "watch", watch)
    rig.predict(b"x")
    rig.run(lambda data, context: [b"x"])
    assert len(rig.answers()) == 1
