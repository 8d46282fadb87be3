"""The worker's end of its connection to the server: reads whole messages, writes several frames at once.

Invariants: reads and writes block; a peer that is gone is `ServerGone`; a process forked from the worker never speaks
here, it ends instead of answering twice.  It does not interpret messages.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from stoker.core.buffer import Buffer
from stoker.ipc import codec, frames
from stoker.ipc.to_server import ToServer
from stoker.ipc.to_worker import ToWorker
from stoker.worker.exceptions import ServerGone

if TYPE_CHECKING:
    from stoker.ipc.dialing import Stream

_READ_BYTES = 64 << 10
_BUFFERS_PER_WRITE = 512  # IOV_MAX is 1024


Received = tuple[ToWorker, memoryview]
"""A message and its payload."""


class Connection:
    """``pending_bytes``: queued by `queue` and not yet written by `flush`."""

    def __init__(self, end: Stream) -> None:
        self._socket = end
        self._decoder = frames.Decoder()
        self._pending: list[Buffer] = []
        self.pending_bytes = 0
        self.abandoned = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def abandon(self) -> None:
        """Drops all that is queued: this process is a fork of the worker, and its parent sends it."""
        self.abandoned = True
        self._pending.clear()
        self.pending_bytes = 0
        self._socket.close()

    def receive(self, *, wait: bool) -> list[Received]:
        """Returns the messages that one read completes; without ``wait`` only what is there. Raises ServerGone,
        FrameError."""
        if self.abandoned:
            leave()
        flags = 0 if wait else socket.MSG_DONTWAIT
        while True:
            try:
                received = self._read_once(flags)
            except BlockingIOError:
                return []
            except ConnectionError:
                raise ServerGone from None
            if received or not wait:
                return [(codec.decode_to_worker(frame.header), frame.payload) for frame in received]

    def _read_once(self, flags: int) -> list[frames.Frame]:
        window = self._decoder.writable()
        if window is None:
            data = self._socket.recv(_READ_BYTES, flags)
            if data:
                return self._decoder.feed(data)
        elif count := self._socket.recv_into(window, 0, flags):
            frame = self._decoder.wrote(count)
            return [] if frame is None else [frame]
        raise ServerGone

    def queue(self, message: ToServer, payloads: Sequence[Buffer] = ()) -> None:
        """Queues a message for the next `flush`."""
        buffers = codec.encode(message, payloads)
        self._pending += buffers
        self.pending_bytes += sum(map(len, buffers))

    def flush(self) -> None:
        """Writes all that is queued. Raises ServerGone: the server closed its end."""
        if self.abandoned:
            leave()
        if not self._pending:
            return
        pending, self._pending, self.pending_bytes = self._pending, [], 0
        try:
            self._write(pending)
        except ConnectionError:
            raise ServerGone from None

    def _write(self, buffers: list[Buffer]) -> None:
        if len(buffers) == 1:
            self._socket.sendall(buffers[0])
            return
        for start in range(0, len(buffers), _BUFFERS_PER_WRITE):
            self._write_scattered(buffers[start : start + _BUFFERS_PER_WRITE])

    def _write_scattered(self, buffers: list[Buffer]) -> None:
        sent = self._socket.sendmsg(buffers)
        for buffer in buffers:
            if sent >= len(buffer):
                sent -= len(buffer)
            else:
                self._socket.sendall(memoryview(buffer)[sent:])
                sent = 0

    def leave_if_forked(self, code: int = 0) -> None:
        """Ends a forked process that returned from the handler."""
        if self.abandoned:
            leave(code)


def leave(code: int = 0) -> NoReturn:
    """Ends the process now: no exit handlers, no waiting for the handler's threads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a handler may have replaced or closed them
            stream.flush()
    os._exit(code)
