"""Reads the kernel's state of a TCP connection."""

from __future__ import annotations

import socket
import struct

from stoker.ipc.dialing import Stream

_ENDED = (6, 7, 8, 9)  # TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK
_INFO = struct.Struct("<4B 52x I")  # state, congestion state, retransmits, probes; milliseconds since the last ACK


def has_ended(stream: Stream) -> bool:
    """Tells whether the peer has closed the connection: all that it sent has arrived."""
    info = _info(stream, 1)
    return not info or info[0] in _ENDED


def is_stalled(stream: Stream, for_s: float) -> bool:
    """Tells whether the kernel has retransmitted or probed for ``for_s`` seconds without an acknowledgement.

    A peer that merely does not read is not stalled, because its kernel acknowledges.
    """
    info = _info(stream, _INFO.size)
    if len(info) < _INFO.size:
        return False
    _, _, retransmits, probes, silent_ms = _INFO.unpack(info)
    return bool(retransmits or probes) and silent_ms > for_s * 1000


def _info(stream: Stream, nbytes: int) -> bytes:
    try:
        return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, nbytes)
    except (OSError, AttributeError):
        return b""
