"""Encodes the first bytes of each connection from another machine.  PURE.

The client sends an opening, of fixed length, with a one-time token; the server answers with a welcome, or closes the
connection.  Frames follow.
"""

from __future__ import annotations

import enum
import struct

from stoker.ipc.frames import FrameError

TOKEN_BYTES = 40
"""Eight bytes that identify the token, then 32 secret ones."""

_MAGIC = b"stoker\x00\x01"  # the last byte is the version of this protocol
_OPENING = struct.Struct(f"<8sB{TOKEN_BYTES}s")
_WELCOME = struct.Struct("<8sd")
OPENING_BYTES = _OPENING.size
WELCOME_BYTES = _WELCOME.size


class Kind(enum.IntEnum):
    """Purpose of the connection: `agent_messages`, the messages of a worker, or the files of a model."""

    AGENT = 1
    WORKER = 2
    FETCH = 3


def encode_opening(kind: Kind, token: bytes) -> bytes:
    return _OPENING.pack(_MAGIC, kind, token)


def decode_opening(data: bytes) -> tuple[Kind, bytes]:
    """Raises FrameError: not an opening of this version."""
    magic, kind, token = _OPENING.unpack(data)
    if magic != _MAGIC or kind not in tuple(Kind):
        raise FrameError("not an opening of this version")
    return Kind(kind), token


def encode_welcome(monotonic_s: float) -> bytes:
    return _WELCOME.pack(_MAGIC, monotonic_s)


def decode_welcome(data: bytes) -> float:
    """Returns the server's monotonic clock, to which its deadlines refer. Raises FrameError: not a welcome of this
    version."""
    magic, monotonic_s = _WELCOME.unpack(data)
    if magic != _MAGIC:
        raise FrameError("not a server of this version")
    return float(monotonic_s)
