"""Relays what a worker prints to the server, no faster than the server takes it."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from stoker.ipc.agent_messages import OUTPUT_REST_BYTES, OUTPUT_WINDOW_BYTES, Output

_READ_BYTES = 16 << 10


class _Server(Protocol):
    def send(self, message: Output, payload: bytes | None = None) -> None: ...


class WorkerOutput:
    """Reads the pipe ``fd`` from its creation until `end`; a worker that prints too much has to wait for the server."""

    def __init__(self, stream: int, fd: int, server: _Server) -> None:
        self.stream = stream
        self._fd = fd
        self._server = server
        self._credit = OUTPUT_WINDOW_BYTES
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._open = True
        self._resume()

    def taken(self, nbytes: int) -> None:
        self._credit += nbytes
        self._resume()

    def end(self) -> None:
        """Sends what a dead worker has left in the pipe."""
        self._pause()
        left = OUTPUT_REST_BYTES if self._open else 0
        while left > 0 and (count := self._read(_READ_BYTES)):
            left -= count
        self._open = False

    def _resume(self) -> None:
        if self._open and not self._reading and self._credit > 0:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        if self._read(min(_READ_BYTES, self._credit)) == 0:  # end of file: the worker closed it
            self._open = False
            self._pause()
        elif self._credit <= 0:
            self._pause()

    def _read(self, nbytes: int) -> int | None:
        """Returns the number of bytes read: 0 at end of file, None if there is nothing to read now."""
        try:
            data = os.read(self._fd, nbytes)
        except (BlockingIOError, InterruptedError):
            return None
        if data:
            self._credit -= len(data)
            self._server.send(Output(self.stream), data)
        return len(data)
