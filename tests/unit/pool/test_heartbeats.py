from __future__ import annotations

from collections.abc import Callable

from stoker.pool.heartbeats import Heartbeats


class Peer:
    """``now``: the clock. ``arrived``: what `read_rest` finds."""

    def __init__(self, arrived: Callable[[Heartbeats], None] = lambda heartbeats: None) -> None:
        self.now = 100.0
        self.sent = 0
        self.silent_s: list[float] = []
        self.heartbeats = Heartbeats(
            heartbeat_s=3600.0,
            silence_s=8.0,
            send=self._send,
            read_rest=lambda: arrived(self.heartbeats),
            on_silent=self.silent_s.append,
            monotonic=lambda: self.now,
        )

    def _send(self) -> None:
        self.sent += 1

    def beat_at(self, now: float) -> None:
        """Does what the timer does."""
        assert self.heartbeats._timer is not None
        self.heartbeats._timer.cancel()
        self.now = now
        self.heartbeats._beat()


async def test_heartbeats_go_on_while_the_peer_sends() -> None:
    peer = Peer()
    peer.heartbeats.start()
    for now in (105.0, 110.0, 115.0):
        peer.now = now
        peer.heartbeats.received()
        peer.beat_at(now + 4.0)
    peer.heartbeats.stop()
    assert (peer.sent, peer.silent_s) == (4, [])


async def test_a_silent_peer_is_reported_once_and_gets_no_more_heartbeats() -> None:
    peer = Peer()
    peer.heartbeats.start()
    peer.beat_at(108.0)
    peer.beat_at(108.5)
    assert (peer.sent, peer.silent_s) == (2, [8.5])
    assert peer.heartbeats._timer is not None and peer.heartbeats._timer.cancelled()


async def test_a_peer_that_is_found_gone_meanwhile_is_not_reported_as_silent() -> None:
    peer = Peer(arrived=Heartbeats.stop)
    peer.heartbeats.start()
    peer.beat_at(200.0)
    assert (peer.sent, peer.silent_s) == (1, [])


async def test_a_peer_is_not_silent_if_what_it_sent_was_only_not_read_yet() -> None:
    peer = Peer(arrived=Heartbeats.received)
    peer.heartbeats.start()
    peer.beat_at(200.0)
    peer.heartbeats.stop()
    assert (peer.sent, peer.silent_s) == (2, [])


async def test_no_timer_is_left_after_the_end() -> None:
    peer = Peer()
    peer.heartbeats.start()
    peer.heartbeats.stop()
    peer.heartbeats.stop()
    assert peer.heartbeats._timer is not None and peer.heartbeats._timer.cancelled()
