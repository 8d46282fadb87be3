"""Writes what a remote worker prints to a pipe of this process, from which `pool.logs` reads as for local workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class OutputPipe:
    """``on_taken``: called with the number of bytes that were written to the pipe. ``reader``: the end that the log
    reads.

    `waiting_bytes` is bounded, because the sender keeps to a window.
    """

    def __init__(self, on_taken: Callable[[int], None]) -> None:
        self._on_taken = on_taken
        self._waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        self.reader, self._writer = os.pipe()
        for fd in (self.reader, self._writer):
            os.set_blocking(fd, False)

    @property
    def waiting_bytes(self) -> int:
        """Returns the bytes that the pipe has not taken yet."""
        return len(self._waiting)

    def write(self, data: memoryview) -> None:
        if self._writer < 0:
            return
        if not self._waiting:
            self._loop.add_writer(self._writer, self._write)
        self._waiting += data
        self._write()

    def _write(self) -> None:
        try:
            taken = os.write(self._writer, self._waiting)
        except BlockingIOError:
            return
        except OSError:  # the log is closed
            taken = len(self._waiting)
        del self._waiting[:taken]
        if not self._waiting:
            self._loop.remove_writer(self._writer)
        self._on_taken(taken)

    def end(self) -> None:
        """Closes the writing end, so that the reader sees end-of-file. Idempotent."""
        if self._writer >= 0:
            self._loop.remove_writer(self._writer)
            os.close(self._writer)
            self._writer = -1
            self._waiting.clear()

    def close(self) -> None:
        self.end()
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1
