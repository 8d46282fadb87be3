"""Reads who connects: does the TLS handshake, then reads the opening with its token."""

from __future__ import annotations

import asyncio
import socket
import ssl

from stoker.ipc import opening
from stoker.ipc.dialing import Stream, tune
from stoker.ipc.frames import FrameError
from stoker.ipc.opening import Kind
from stoker.ipc.tls_socket import TlsSocket

TIMEOUT_S = 10.0
_MOST_READS = 64  # for handshake and opening


async def identify(sock: socket.socket, tls: ssl.SSLContext | None) -> tuple[Stream, Kind, bytes]:
    """Returns the stream, the kind of connection that the peer asks for, and its token. On any error the caller closes
    ``sock``.

    Raises: OSError: the peer has closed, or TLS failed; FrameError: it sent no opening; asyncio.TimeoutError: it was
    too slow.
    """
    return await asyncio.wait_for(_identify(sock, tls), TIMEOUT_S)


async def _identify(sock: socket.socket, tls: ssl.SSLContext | None) -> tuple[Stream, Kind, bytes]:
    sock.setblocking(False)
    tune(sock)
    stream: Stream = sock if tls is None else TlsSocket(sock, tls)
    handshaken, data = tls is None, b""
    for _ in range(_MOST_READS):
        try:
            if not handshaken and isinstance(stream, TlsSocket):
                stream.do_handshake()
                handshaken = True
            part = stream.recv(opening.OPENING_BYTES - len(data))
        except BlockingIOError:
            await _readable(sock)
            continue
        if not part:
            raise ConnectionError("closed")
        data += part
        if len(data) == opening.OPENING_BYTES:
            return stream, *opening.decode_opening(data)
    raise FrameError("an opening in too many pieces")


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(sock.fileno(), wake)
    try:
        await readable
    finally:
        loop.remove_reader(sock.fileno())
