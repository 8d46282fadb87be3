"""How large transfers share the turns of a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from stoker.frontend.transfers import READ_BYTES, TURN_BYTES, Reading, Transfers


class Loop(asyncio.AbstractEventLoop):
    """Runs what is due when it is told to."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object], *_: object, **__: object) -> asyncio.Handle:  # type: ignore[override]
        self.due.append(callback)
        return asyncio.Handle(callback, (), self)

    def get_debug(self) -> bool:
        return False

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


class Transport(asyncio.ReadTransport):
    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.closing = False

    def pause_reading(self) -> None:
        assert self.reads and not self.closing
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.closing
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing


@pytest.fixture
def loop() -> Loop:
    return Loop()


def reading(transport: Transport, transfers: Transfers, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setattr("stoker.frontend.transfers.current_transfers", lambda: transfers)
    return Reading(transport)


def test_a_turn_is_over_once_its_bytes_are_spent_and_the_next_one_has_them_anew(loop: Loop) -> None:
    transfers = Transfers(loop)
    assert transfers.spend(TURN_BYTES - 1)
    assert not transfers.spend(1)
    loop.turn()
    assert transfers.spend(1)


def test_those_that_wait_go_on_in_order_and_as_far_as_a_turn_reaches(loop: Loop) -> None:
    transfers, order = Transfers(loop), list[str]()

    def writer(name: str) -> Callable[[], None]:
        def go_on() -> None:
            order.append(name)
            transfers.spend(TURN_BYTES // 2)

        return go_on

    for name in "abcde":
        transfers.wait(writer(name))
    turns = []
    while len(order) < 5:
        loop.turn()
        turns.append("".join(order))
    assert turns == ["ab", "abcd", "abcde"]


def test_a_loop_without_large_transfers_is_left_alone(loop: Loop) -> None:
    transfers = Transfers(loop)
    transfers.spend(1)
    for _ in range(2):
        loop.turn()
    assert loop.due == []


def test_one_that_fails_keeps_no_other_waiting(loop: Loop) -> None:
    transfers, went_on = Transfers(loop), list[int]()

    def fails() -> None:
        raise ValueError

    transfers.wait(fails)
    transfers.wait(lambda: went_on.append(1))
    with pytest.raises(ValueError):
        loop.turn()
    loop.turn()
    assert went_on == [1]


def test_a_client_that_sends_much_is_read_a_turn_at_a_time(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers, transport = Transfers(loop), Transport()
    it = reading(transport, transfers, monkeypatch)
    it.received(READ_BYTES)
    assert transport.reads
    it.received(TURN_BYTES)
    assert not transport.reads
    loop.turn()
    assert transport.reads


def test_many_clients_that_send_much_share_a_turn(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers, transports = Transfers(loop), [Transport() for _ in range(100)]
    for transport in transports:
        reading(transport, transfers, monkeypatch).received(TURN_BYTES)
    assert not any(transport.reads for transport in transports)
    loop.turn()
    assert sum(transport.reads for transport in transports) == TURN_BYTES // READ_BYTES


def test_reading_waits_for_the_turn_and_for_the_connection(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers, transport = Transfers(loop), Transport()
    it = reading(transport, transfers, monkeypatch)
    it.received(TURN_BYTES)
    it.want(False)
    loop.turn()
    assert not transport.reads
    it.want(True)
    assert transport.reads
    it.received(TURN_BYTES)
    it.want(True)
    assert not transport.reads


def test_a_connection_that_closes_while_it_waits_is_not_read(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers, transport = Transfers(loop), Transport()
    reading(transport, transfers, monkeypatch).received(TURN_BYTES)
    transport.closing = True
    loop.turn()
    assert not transport.reads
