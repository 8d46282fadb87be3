"""The first bytes on each connection from another machine.  PURE.

The one that connects sends an `Opening`, of fixed length and with a one-time token; the server answers `Welcome`, or
closes.  Frames follow.
"""

from __future__ import annotations

import enum
import struct

from stoker.ipc.frames import FrameError

TOKEN_BYTES = 40
"""Eight that name the token, and 256 secret bits."""

_MAGIC = b"stoker\x00\x01"  # the last byte is the version of this protocol
_OPENING = struct.Struct(f"<8sB{TOKEN_BYTES}s")
_WELCOME = struct.Struct("<8sd")
OPENING_BYTES = _OPENING.size
WELCOME_BYTES = _WELCOME.size


class Kind(enum.IntEnum):
    """Content of the connection: `agent_messages`, the frames of a worker, or the content of a model's folder."""

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
    """Returns the clock by which the server's deadlines count. Raises FrameError: not a welcome of this version."""
    magic, monotonic_s = _WELCOME.unpack(data)
    if magic != _MAGIC:
        raise FrameError("not a server of this version")
    return float(monotonic_s)
