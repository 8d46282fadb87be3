"""Two ends of a TLS connection over a socket pair, with a certificate as the border makes it."""

from __future__ import annotations

import socket
import ssl
import threading

from stoker.ipc.tls_socket import TlsSocket
from stoker.pool.remote.certificates import BorderTls, make_tls


def client_context(tls: BorderTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=tls.ca)
    return context


def tls_pair(tls: BorderTls | None = None, *, buffer_bytes: int | None = None) -> tuple[TlsSocket, TlsSocket]:
    """Returns the server's end and the client's, which block. ``buffer_bytes``: of the kernel, as of a slow network."""
    tls = tls or make_tls()
    ends = socket.socketpair()
    for end in ends:
        if buffer_bytes is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    server, client = TlsSocket(ends[0], tls.context), TlsSocket(ends[1], client_context(tls), server_hostname=tls.name)
    handshake = threading.Thread(target=server.do_handshake)
    handshake.start()
    client.do_handshake()
    handshake.join()
    return server, client
