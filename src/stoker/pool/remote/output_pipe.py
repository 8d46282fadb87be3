"""Passes what a remote worker prints on to a pipe of this process, where `pool.logs` reads as it does for others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class OutputPipe:
    """``on_taken``: called with how many bytes the pipe has taken. ``reader``: the end for the log, the caller's to
    close.

    The sender keeps to a window, so ``_waiting`` is bounded.
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
        """Returns how much the reader has yet to make room for."""
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
        """Closes the end that is written to. Idempotent."""
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
