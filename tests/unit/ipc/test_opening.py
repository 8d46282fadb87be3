"""The first bytes of a connection from another machine."""

from __future__ import annotations

import os

import pytest

from stoker.ipc import opening
from stoker.ipc.frames import FrameError
from stoker.ipc.opening import Kind


@pytest.mark.parametrize("kind", list(Kind))
def test_an_opening_is_read_as_it_was_written(kind: Kind) -> None:
    token = os.urandom(opening.TOKEN_BYTES)
    data = opening.encode_opening(kind, token)
    assert len(data) == opening.OPENING_BYTES
    assert opening.decode_opening(data) == (kind, token)


@pytest.mark.parametrize("place", [0, 7, 8])
def test_another_magic_version_or_kind_is_refused(place: int) -> None:
    data = bytearray(opening.encode_opening(Kind.AGENT, bytes(opening.TOKEN_BYTES)))
    data[place] ^= 0x80
    with pytest.raises(FrameError):
        opening.decode_opening(bytes(data))


def test_a_welcome_brings_the_servers_clock() -> None:
    data = opening.encode_welcome(1234.5)
    assert len(data) == opening.WELCOME_BYTES
    assert opening.decode_welcome(data) == 1234.5
    with pytest.raises(FrameError):
        opening.decode_welcome(b"HTTP/1.1 200 OK\r"[: opening.WELCOME_BYTES])
