"""TLS over a socket, with the socket's own calls: for code that works with either.

Works over blocking and non-blocking sockets. Records pass through memory, so that one system call carries many.

Laws: what `TlsSocket.sendmsg` has encrypted counts as sent only when the kernel has taken all of it; until then it
raises BlockingIOError, and must be called again with the same bytes in front.  What was received with other bytes
shows in `TlsSocket.pending`, because the socket itself is not readable any more.
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
    """A lock lets one thread read while another writes; it is not held while the socket waits.

    ``server_hostname``: None on the side that accepts.
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
        self._uncounted = 0  # bytes of the caller's that are encrypted, and not reported as sent
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
        """Closes the socket without a farewell: frames show whether they are whole."""
        self._sock.close()

    def do_handshake(self) -> None:
        """Raises BlockingIOError: call it again when the socket is readable. `ssl.SSLError`: it failed for good."""
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
        """Returns about ``nbytes`` at most, as soon as there are any; nothing: the peer has closed."""
        while True:
            if self.pending:
                data = self._decrypted(nbytes)
                if data is not None:
                    return data
            self._pull(flags)

    def recv_into(self, window: memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """Returns how many bytes were put into ``window``; 0: the peer has closed."""
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
            self._room = memoryview(bytearray(2 * count))  # many connections are small or idle

    def _decrypted(self, nbytes: int) -> bytes | None:
        """Returns what the records that are here hold, None if none is whole."""
        with self._lock:
            part = self._record(nbytes)
            if not part or not self.pending:  # nearly always there is one
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
        # The type stubs know neither the buffer's type nor what is returned with one.
        return self._tls.read(len(window), window)  # type: ignore

    def _has_more(self, full: bool) -> bool:
        """``full``: the last read got all that it asked for, so that its record may hold more."""
        return self._incoming.pending > 0 or (full and self._tls.pending() > 0)

    # ------------------------------------------------------------------------------------------ writing

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        """Sends some bytes of the front. BlockingIOError: see above."""
        if not self._uncounted:
            with self._lock:
                self._uncounted = self._encrypt(buffers)
        self._push()
        sent, self._uncounted = self._uncounted, 0
        return sent

    def sendall(self, data: Buffer) -> None:
        """Sends all of it. For blocking sockets."""
        view = memoryview(data)
        while view:
            view = view[self.sendmsg([view]) :]

    def _encrypt(self, buffers: Iterable[Buffer]) -> int:
        """Takes some bytes of the front, in as few records as hold them, and returns how many."""
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
        """Gives the kernel what is encrypted. Raises BlockingIOError while it does not take all."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                with self._lock:
                    self._unsent = self._outgoing.read()
            sent, unsent = self._sock.send(self._unsent), self._unsent
            self._unsent = b"" if sent == len(unsent) else memoryview(unsent)[sent:]
