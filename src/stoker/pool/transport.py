"""Sends and receives frames over a non-blocking socket, or TLS over one, on any loop with add_reader and add_writer.

Buffers messages, and sends them with one gathering write at the end of the loop's turn; what the kernel does not take
waits until the socket is writable.  Does not interpret messages.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from stoker.core.buffer import Buffer
from stoker.core.turn import current_turn
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Decoder, Frame, FrameError
from stoker.ipc.tls_socket import TlsSocket

_READ_BYTES = 64 << 10
_BUFFERS_PER_WRITE = 1024  # IOV_MAX of Linux and macOS
_SLICE_BYTES = 1 << 20
"""Bytes of a large frame to send or receive per turn of the loop: with a fast peer, one call could move all of it."""
_READS_AFTER_DEATH = 256  # far more than a dead peer leaves in the kernel


class FrameTransport:
    """``on_frame`` gets each complete frame, and may raise `FrameError`. ``on_lost`` is called once, when no more
    frames will come: with None if the socket was closed, with the error if the peer violated the protocol.
    ``poll_s``: returns how many seconds to poll for an answer after a write, before the loop goes on."""

    def __init__(
        self,
        sock: Stream,
        *,
        max_payload_bytes: int,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[FrameError | None], None],
        poll_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._decoder = Decoder(max_payload_bytes)
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._poll_s = poll_s
        self._out: deque[Buffer] = deque()
        self._flush_due = False
        self._writing = False
        self._sliced = False  # large frames wait to be sent
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._turn = current_turn()
        self._read = self._read_once
        if isinstance(sock, TlsSocket):
            self._tls, self._read = sock, self._read_decrypted

    def start(self) -> None:
        self._loop.add_reader(self._fd, self._on_readable)
        if self._read == self._read_decrypted:
            self._loop.call_soon(self._on_readable)  # handle what came with the handshake

    # ------------------------------------------------------------------------------------------ writing

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Sends the buffers at the end of the loop's turn; drops them if the connection is lost."""
        if not self._open:
            return
        if len(buffers) == 1:
            self._out.extend(buffers)
        else:
            self._sliced = True
            for buffer in buffers:
                self._out.extend(_slices(buffer))
        if not self._flush_due and not self._writing:
            self._flush_due = True
            self._turn.defer(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        left = _SLICE_BYTES
        while self._out and self._open and left > 0:
            try:
                sent = self._sock.sendmsg(islice(self._out, 2 if self._sliced else _BUFFERS_PER_WRITE))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # the peer is gone; handle what it had sent before
                self.read_rest()
                self._lose(None)
                return
            self._forget(sent)
            if self._sliced:
                left -= sent
                self._sliced = bool(self._out)
        if self._writing or self._out:
            self._want_writable(bool(self._out) and self._open)
        if not self._writing and self._open:
            self._poll(self._poll_s())

    def _poll(self, seconds: float) -> None:
        if seconds > 0.0:
            end = time.monotonic() + seconds
            while not self._read() and self._open and time.monotonic() < end:
                pass

    def _forget(self, sent: int) -> None:
        """Drops ``sent`` bytes from the front of the buffers."""
        out = self._out
        while out and sent >= len(out[0]):
            sent -= len(out.popleft())
        if sent:
            out[0] = memoryview(out[0])[sent:]

    def _want_writable(self, wanted: bool) -> None:
        if wanted == self._writing:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)

    # ------------------------------------------------------------------------------------------ reading

    def _on_readable(self) -> None:
        self._turn.run(self._read)

    def _read_decrypted(self) -> bool:
        """Reads once, then whatever was decrypted along with it: the socket is not readable for that."""
        more = self._read_once()
        while more and self._open and self._tls.pending:
            more = self._read_once()
        return more

    def _read_once(self) -> bool:
        """Reads once; returns whether there may be more now."""
        try:
            return self._receive()
        except (BlockingIOError, InterruptedError):
            return False
        except FrameError as error:
            self._lose(error)
        except OSError:
            self._lose(None)
        return False

    def _receive(self) -> bool:
        window = self._decoder.writable()
        if window is not None:
            count = self._sock.recv_into(window[:_SLICE_BYTES])
            frame = self._decoder.wrote(count) if count else None
            if frame is not None:
                self._on_frame(frame)
        else:
            data = self._sock.recv(_READ_BYTES)
            count = len(data)
            for frame in self._decoder.feed(data):
                self._on_frame(frame)
            if self._decoder.error is not None:
                raise self._decoder.error
        if not count:
            self._lose(None)
        return count > 0

    def read_rest(self) -> None:
        """Handles what a dead peer had sent before it died."""
        for _ in range(_READS_AFTER_DEATH):
            if not self._open or not self._read():
                return

    # ------------------------------------------------------------------------------------------ the end

    def close(self) -> None:
        """Stops all callbacks; the caller closes the socket. Idempotent."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._want_writable(False)
            self._out.clear()

    def _lose(self, error: FrameError | None) -> None:
        if self._open:
            self.close()
            self._on_lost(error)


def _slices(buffer: Buffer) -> Iterator[Buffer]:
    if len(buffer) <= _SLICE_BYTES:
        yield buffer
        return
    view = memoryview(buffer)
    for start in range(0, len(view), _SLICE_BYTES):
        yield view[start : start + _SLICE_BYTES]
