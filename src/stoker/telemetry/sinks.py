"""Writes log lines to the console and to rolling files.

Invariant: `write` never raises.  A full disk, an unwritable folder or a closed console costs log lines and one warning,
never a request.  Only the writer's thread uses sinks.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_RETRY_AFTER_S = 60.0


class Sink(Protocol):
    def write(self, data: bytes) -> None: ...


class Action:
    """Runs an action in the writer's thread once everything before it is written."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def write(self, data: bytes) -> None:
        self._action()


class Console:
    """Writes to the descriptor that the server inherited as its output. Stays closed once its reader is gone."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._open = True

    @property
    def open(self) -> bool:
        """Tells whether the console may still be read."""
        return self._open

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while self._open and rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                select.select([], [self._fd], [])  # another process made the descriptor non-blocking
            except OSError as error:
                # The reader or the terminal is gone. A full disk may get room again.
                self._open = error.errno == errno.ENOSPC
                return


class RollingFile:
    """Appends to ``path``.

    A new day or ``max_bytes`` moves it to ``path.1`` and so on, keeping ``keep`` of them; 0: never moved.
    ``on_trouble`` is called with a message once if the file cannot be written; later lines try again.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_trouble: Callable[[str], None],
        max_bytes: int = 100 << 20,
        keep: int = 5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._on_trouble = on_trouble
        self._max_bytes = max_bytes
        self._keep = keep
        self._clock = clock
        self._fd: int | None = None
        self._size = 0
        self._day = ""
        self._broken_until: float | None = None

    def create(self) -> None:
        """Creates the file, so that tools can follow it from the start."""
        self._attempt(self._open)

    def reopen(self) -> None:
        """Opens a new file after the old one was moved away."""
        self.close()
        self._attempt(self._open)

    def write(self, data: bytes) -> None:
        if self._broken_until is not None and self._clock() < self._broken_until:
            return
        self._attempt(lambda: self._append(data))

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.close()
            if self._broken_until is None:
                self._on_trouble(f"Cannot write {self.path}: {error.strerror or error}. Its log lines are lost.")
            self._broken_until = self._clock() + _RETRY_AFTER_S
        else:
            self._broken_until = None

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._open()
        if self._is_due(len(data)):
            self._roll()
        assert self._fd is not None
        rest = memoryview(data)
        while rest:
            written = os.write(self._fd, rest)
            self._size += written
            rest = rest[written:]

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._day = _day(status.st_mtime if status.st_size else self._clock())

    def _is_due(self, more: int) -> bool:
        return (
            self._keep > 0
            and self._size > 0
            and (self._size + more > self._max_bytes or self._day != _day(self._clock()))
        )

    def _roll(self) -> None:
        self.close()
        for number in range(self._keep - 1, 0, -1):
            _move(self._numbered(number), self._numbered(number + 1))
        _move(self.path, self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except FileNotFoundError:
        pass  # fewer files so far


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
