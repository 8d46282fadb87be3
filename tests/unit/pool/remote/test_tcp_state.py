"""What the kernel says of a connection, as it lays it out."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

import pytest

from stoker.pool.remote import tcp_state

ESTABLISHED = 1


class FakeStream:
    """A connection whose kernel says this."""

    def __init__(self, *, retransmits: int = 0, probes: int = 0, silent_ms: int = 0) -> None:
        self._info = struct.pack("<4B52xI", ESTABLISHED, 0, retransmits, probes, silent_ms) + bytes(100)

    def getsockopt(self, level: int, name: int, nbytes: int) -> bytes:
        return self._info[:nbytes]


@pytest.mark.parametrize(
    ("state", "stalled"),
    [
        ({"silent_ms": 3_600_000}, False),  # nothing to say for an hour
        ({"retransmits": 2, "silent_ms": 700}, False),  # a packet was lost
        ({"retransmits": 5, "silent_ms": 8001}, True),
        ({"probes": 9, "silent_ms": 200}, False),  # the peer does not read, but its kernel answers
        ({"probes": 4, "silent_ms": 9000}, True),
    ],
)
def test_a_connection_has_stalled_when_nothing_answers_what_is_sent_again(state: dict[str, int], stalled: bool) -> None:
    assert tcp_state.is_stalled(FakeStream(**state), 8.0) is stalled  # type: ignore[arg-type]


def test_the_end_of_the_peer_is_seen_before_what_it_sent_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        with closing(ours):
            theirs.sendall(b"unread")
            assert not tcp_state.has_ended(ours)
            assert not tcp_state.is_stalled(ours, 0.0)
            theirs.close()
            while not tcp_state.has_ended(ours):
                pass
            assert ours.recv(100) == b"unread"
        assert tcp_state.has_ended(ours), "one that is closed here has no state any more"
