"""Connects to the server from another machine: TCP, TLS, and the opening with its one-time token.

All calls block; the agent makes them in a thread.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import NamedTuple

from stoker.ipc import opening
from stoker.ipc.frames import FrameError
from stoker.ipc.opening import Kind
from stoker.ipc.tls_socket import TlsSocket

TIMEOUT_S = 20.0

Stream = socket.socket | TlsSocket
"""Carries frames: a socket, or TLS over one."""


class Dialed(NamedTuple):
    """``stream`` is blocking. ``server_monotonic_s``: the server's clock a moment ago."""

    stream: Stream
    server_monotonic_s: float


def dial(host: str, port: int, kind: Kind, token: bytes, *, ca: str | None, tls_name: str) -> Dialed:
    """Connects; each step may take `TIMEOUT_S`. ``ca``: PEM that verifies the server's certificate; None: no TLS.

    Raises: OSError: the server cannot be reached, does not match ``ca``, or refuses the token.
    """
    sock = socket.create_connection((host, port), TIMEOUT_S)
    try:
        tune(sock)
        stream = sock if ca is None else _secured(sock, ca, tls_name)
        stream.sendall(opening.encode_opening(kind, token))
        now = opening.decode_welcome(_exactly(stream, opening.WELCOME_BYTES))
    except FrameError as error:
        sock.close()
        raise ConnectionError(str(error)) from None
    except BaseException:
        sock.close()
        raise
    sock.settimeout(None)
    return Dialed(stream, now)


def tune(sock: socket.socket) -> None:
    """Sends small messages without delay, and has the kernel drop a peer that is silent for eleven seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with contextlib.suppress(AttributeError, OSError):  # not every system has them
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _secured(sock: socket.socket, ca: str, tls_name: str) -> TlsSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    stream = TlsSocket(sock, context, server_hostname=tls_name)
    stream.do_handshake()
    return stream


def _exactly(stream: Stream, nbytes: int) -> bytes:
    data = b""
    while len(data) < nbytes:
        part = stream.recv(nbytes - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data
