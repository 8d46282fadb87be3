"""A loop polls for its next batch before it sleeps, if it may."""

from __future__ import annotations

import threading

import pytest
from worker_rig import Rig

from stoker.ipc.to_worker import JobHeader, Predict
from stoker.worker.exceptions import ServerGone
from stoker.worker.inbox import Inbox


def ticking(rig: Rig) -> None:
    """Each reading of the clock takes some time."""

    def monotonic() -> float:
        rig.time.now += 0.00001
        return rig.time.now

    rig.inbox._monotonic = monotonic


def test_a_poll_that_finds_nothing_ends_and_one_that_finds_a_batch_takes_it(rig: Rig) -> None:
    ticking(rig)
    assert not rig.inbox.busy_poll(0.001)
    rig.predict(b"a")
    assert rig.inbox.busy_poll(0.001)
    assert len(rig.inbox.waiting) == 1


def test_a_poll_sees_that_the_server_is_gone(rig: Rig) -> None:
    ticking(rig)
    rig.server.socket.close()
    with pytest.raises(ServerGone):
        rig.inbox.busy_poll(0.001)


@pytest.mark.parametrize("may_poll", [True, False])
def test_a_worker_polls_before_it_sleeps_only_if_it_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, may_poll: bool
) -> None:
    polls: list[float] = []
    monkeypatch.setattr(Inbox, "busy_poll", lambda self, seconds: polls.append(seconds))
    loop = rig.loop(lambda data, context: [b""] * len(data), poll_s=0.001)
    for number in range(1, 6):
        rig.server.send(Predict(number, [JobHeader("id", [], {}, None)], may_poll))
        batch = loop._next()
        assert batch is not None
        loop._run(batch)
    assert polls == [0.001] * 4 * may_poll


def test_a_worker_that_polled_in_vain_sleeps_until_its_batch_comes(rig: Rig) -> None:
    ticking(rig)
    loop = rig.loop(lambda data, context: [b""] * len(data), poll_s=0.001)
    for number in range(1, 3):
        rig.server.send(Predict(number, [JobHeader("id", [], {}, None)], True))
        batch = loop._next()
        assert batch is not None
        loop._run(batch)
    later = threading.Thread(target=lambda: rig.predict(b"later"))
    later.start()
    found = loop._next()
    later.join()
    assert found is not None and found.payload_bytes == 5
