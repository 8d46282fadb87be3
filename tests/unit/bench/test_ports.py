from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.bench import ports
from stoker.bench.ports import PortBlock, free_ports

taken: set[int] = set()


@pytest.fixture(autouse=True)
def only_these_are_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ports, "_is_free", lambda port: port not in taken)
    yield
    taken.clear()


@pytest.fixture
def block() -> Iterator[PortBlock]:
    made = PortBlock()
    yield made
    made.release()


@pytest.fixture
def other() -> Iterator[PortBlock]:
    made = PortBlock()
    yield made
    made.release()


def test_ports_of_two_processes_are_different_ones(block: PortBlock, other: PortBlock) -> None:
    assert set(block.take(100)).isdisjoint(other.take(100))


def test_ports_come_again_only_when_all_others_had_their_turn(block: PortBlock) -> None:
    first = block.take(5)
    assert len({*first, *block.take(95)}) == 100
    assert block.take(5) == first


def test_a_taken_port_is_left_out(block: PortBlock) -> None:
    before = block.take(100)
    taken.add(before[1])
    assert block.take(3) == [before[0], *before[2:4]]


def test_too_few_free_ports_are_an_error(block: PortBlock) -> None:
    taken.update(block.take(98))
    assert len(block.take(2)) == 2
    with pytest.raises(OSError, match="fewer than 3 ports are free"):
        block.take(3)


def test_a_block_is_free_again_after_its_process(block: PortBlock, other: PortBlock) -> None:
    first = block.take(1)
    block.release()
    assert other.take(1) == first


def test_the_kernel_gives_nobody_such_a_port(block: PortBlock) -> None:
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if lowest < 32768:
        pytest.skip("the kernel of this machine is set to choose from lower ports than it does by default")
    assert not any(lowest <= port <= highest for port in block.take(100))


def test_a_port_on_which_a_server_listens_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        assert not ports._is_free(port)
    assert ports._is_free(port)
