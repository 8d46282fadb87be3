"""What an accepted connection is called, and how the system sends over it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from stoker.frontend.sockets import avoid_pacing, peer_of

LOOPBACK, LOOPBACK_6, REMOTE = ("127.0.0.1", 5), ("::1", 5, 0, 0), ("192.0.2.7", 5)


class Socket:
    def __init__(self, error: OSError | None = None) -> None:
        self.options: list[tuple[int, int, bytes]] = []
        self._error = error

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        if self._error is not None:
            raise self._error
        self.options.append((level, option, value))


class Transport(asyncio.Transport):
    def __init__(self, peername: object, sock: Socket | None = None) -> None:
        super().__init__({"peername": peername, "socket": sock})


@pytest.mark.parametrize(
    ("peername", "peer"),
    [(LOOPBACK, "127.0.0.1:5"), (LOOPBACK_6, "[::1]:5"), ("", "unix"), (None, "unix")],
)
def test_a_client_is_named_by_its_address(peername: Any, peer: str) -> None:
    assert peer_of(Transport(peername)) == peer


@pytest.mark.parametrize("peername", [LOOPBACK, LOOPBACK_6])
def test_what_is_sent_over_loopback_is_not_paced(peername: Any) -> None:
    sock = Socket()
    avoid_pacing(Transport(peername, sock))
    assert sock.options == [(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")]


@pytest.mark.parametrize("peername", [REMOTE, "", None])
def test_the_system_chooses_how_to_send_to_other_machines(peername: Any) -> None:
    sock = Socket()
    avoid_pacing(Transport(peername, sock))
    assert not sock.options


def test_a_system_that_paces_everything_is_left_alone() -> None:
    avoid_pacing(Transport(LOOPBACK, Socket(PermissionError())))
    avoid_pacing(Transport(LOOPBACK))
