"""Wraps a socket in TLS, with the same methods, so that callers can use either.

Works over blocking and non-blocking sockets. Passes records through memory, so that one system call carries many.

Invariants: what `TlsSocket.sendmsg` has encrypted counts as sent only once the kernel has taken all of it; until then
it raises BlockingIOError, and must be called again with the same bytes in front.  `TlsSocket.pending` tells that more
may be read although the socket itself is not readable.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable

from stoker.core.buffer import Buffer

_FIRST_READ_BYTES = 4 << 10
_MOST_READ_BYTES = 128 << 10
_WRITE_BYTES = 128 << 10


class TlsSocket:
    """One thread may read while another writes: a lock protects the TLS state, and is not held while the socket waits.

    ``server_hostname``: None on the server's side.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._lock = threading.Lock()
        self._room = memoryview(bytearray(_FIRST_READ_BYTES))
        self._unsent: Buffer = b""
        self._uncounted = 0  # bytes of the caller that are encrypted and not yet reported as sent
        self.pending = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def setblocking(self, blocking: bool) -> None:
        self._sock.setblocking(blocking)

    def getsockopt(self, level: int, name: int, nbytes: int) -> bytes:
        return self._sock.getsockopt(level, name, nbytes)

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        """Closes the socket without close_notify: frames show whether they are complete."""
        self._sock.close()

    def do_handshake(self) -> None:
        """Raises BlockingIOError: call it again once the socket is readable; `ssl.SSLError`: the handshake failed."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._push()
                self._pull(0)
            else:
                self._push()
                self.pending = self._incoming.pending > 0
                return

    # ------------------------------------------------------------------------------------------ reading

    def recv(self, nbytes: int, flags: int = 0) -> bytes:
        """Returns up to ``nbytes`` bytes, as soon as there are any; none: the peer has closed."""
        while True:
            if self.pending:
                data = self._decrypted(nbytes)
                if data is not None:
                    return data
            self._pull(flags)

    def recv_into(self, window: memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """Returns how many bytes were written to ``window``; 0: the peer has closed."""
        while True:
            if self.pending:
                count = self._decrypt_into(window)
                if count is not None:
                    return count
            self._pull(flags)

    def _pull(self, flags: int) -> None:
        count = self._sock.recv_into(self._room, 0, flags)
        with self._lock:
            if count:
                self._incoming.write(self._room[:count])
            else:
                self._incoming.write_eof()
            self.pending = True
        if count == len(self._room) < _MOST_READ_BYTES:
            self._room = memoryview(bytearray(2 * count))  # it starts small, because many connections carry little

    def _decrypted(self, nbytes: int) -> bytes | None:
        """Returns the content of the records that have arrived; None: none is complete."""
        with self._lock:
            part = self._record(nbytes)
            if not part or not self.pending:  # usually there is only one
                return part
            parts, left = [part], nbytes - len(part)
            while left > 0 and self.pending and (part := self._record(left)):
                parts.append(part)
                left -= len(part)
        return b"".join(parts)

    def _record(self, nbytes: int) -> bytes | None:
        try:
            data = self._tls.read(nbytes)
        except ssl.SSLWantReadError:
            self.pending = False
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        self.pending = self._has_more(len(data) == nbytes)
        return data

    def _decrypt_into(self, window: memoryview) -> int | None:
        filled = 0
        with self._lock:
            while filled < len(window):
                try:
                    count = self._read_into(window[filled:])
                except ssl.SSLWantReadError:
                    self.pending = False
                    return filled or None
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    return filled
                filled += count
                self.pending = self._has_more(filled == len(window))
                if not self.pending:
                    break
        return filled

    def _read_into(self, window: memoryview) -> int:
        # The type stubs do not have this signature.
        return self._tls.read(len(window), window)  # type: ignore

    def _has_more(self, full: bool) -> bool:
        """``full``: the last read got all that it asked for, so its record may hold more."""
        return self._incoming.pending > 0 or (full and self._tls.pending() > 0)

    # ------------------------------------------------------------------------------------------ writing

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        """Sends the first bytes of ``buffers``; returns how many. BlockingIOError: see the module."""
        if not self._uncounted:
            with self._lock:
                self._uncounted = self._encrypt(buffers)
        self._push()
        sent, self._uncounted = self._uncounted, 0
        return sent

    def sendall(self, data: Buffer) -> None:
        """Sends all of ``data``. Only for blocking sockets."""
        view = memoryview(data)
        while view:
            view = view[self.sendmsg([view]) :]

    def _encrypt(self, buffers: Iterable[Buffer]) -> int:
        """Encrypts the first bytes of ``buffers``, in as few records as possible; returns how many bytes."""
        front, left = list[Buffer](), _WRITE_BYTES
        for buffer in buffers:
            if len(buffer) >= left:
                front.append(memoryview(buffer)[:left])
                break
            front.append(buffer)
            left -= len(buffer)
        data = front[0] if len(front) == 1 else b"".join(front)
        return self._tls.write(data) if len(data) else 0

    def _push(self) -> None:
        """Passes what is encrypted to the kernel. Raises BlockingIOError if it does not take all of it."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                with self._lock:
                    self._unsent = self._outgoing.read()
            sent, unsent = self._sock.send(self._unsent), self._unsent
            self._unsent = b"" if sent == len(unsent) else memoryview(unsent)[sent:]
