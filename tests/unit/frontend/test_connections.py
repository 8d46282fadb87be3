"""Which connections of a listener count, and which give way."""

from __future__ import annotations

import pytest

from stoker.frontend import connections
from stoker.frontend.connections import Connections
from stoker.frontend.open_files import OpenFiles


class Fake:
    def __init__(self) -> None:
        self.given_up = False
        self.asked_to_close = False

    def check_timeouts(self, now: float) -> None:
        """Never times out."""

    def shutdown(self) -> None:
        self.asked_to_close = True

    def give_up(self) -> None:
        self.given_up = True


async def test_handshakes_and_open_connections_share_the_limit() -> None:
    counted = Connections(2)
    handshake, opened = Fake(), Fake()
    assert counted.begin_handshake(handshake)
    assert counted.add(opened)
    assert not counted.add(Fake())
    counted.end_handshake(handshake)
    assert counted.add(Fake())
    await counted.wait_closed(0)


async def test_the_oldest_handshake_gives_way_to_a_new_one() -> None:
    counted = Connections(2)
    first, second, third = Fake(), Fake(), Fake()
    for handshake in (first, second, third):
        assert counted.begin_handshake(handshake)
    assert (first.given_up, second.given_up, third.given_up) == (True, False, False)
    counted.end_handshake(first)  # its end comes later, and changes nothing
    assert counted.handshakes == 2


async def test_an_open_connection_never_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    counted = Connections(1)
    opened = Fake()
    assert counted.add(opened)
    assert not counted.begin_handshake(Fake())
    assert not opened.given_up
    assert "new connections are dropped" in caplog.text
    await counted.wait_closed(0)


def test_handshakes_are_bounded_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_HANDSHAKES", 3)
    counted = Connections(1000)
    handshakes = [Fake() for _ in range(10)]
    assert all(counted.begin_handshake(handshake) for handshake in handshakes)
    assert counted.handshakes == 3
    assert [handshake.given_up for handshake in handshakes] == [True] * 7 + [False] * 3


async def test_a_stop_gives_up_handshakes_and_asks_open_connections() -> None:
    counted = Connections(5)
    handshake, opened = Fake(), Fake()
    counted.begin_handshake(handshake)
    counted.add(opened)
    counted.shutdown()
    assert handshake.given_up
    assert opened.asked_to_close
    await counted.wait_closed(0)


async def test_connections_stop_where_open_files_do_and_go_on_once_some_are_closed() -> None:
    files = OpenFiles(40)
    counted, others = Connections(1000, files.share()), Connections(1000, files.share())
    opened = [Fake() for _ in range(9)]
    assert [counted.add(connection) for connection in opened] == [True] * 8 + [False]
    assert others.add(Fake())
    counted.discard(opened[8])  # it never counted
    counted.discard(opened[0])
    assert counted.begin_handshake(Fake())
    await counted.wait_closed(0)
    await others.wait_closed(0)
