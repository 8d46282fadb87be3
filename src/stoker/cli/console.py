"""Handles standard streams and unexpected errors for every command, without a traceback.

Invariants: if the reader leaves (`... | head`), a command ends quietly; other output errors print one message.  What
the locale cannot encode is escaped.  A closed descriptor becomes /dev/null, so that no file of the command gets its
number. A server continues without a console.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TextIO

from stoker.errors import StartupError, StokerError

_INTERRUPTED = 130
_READER_LEFT = 141  # like death by SIGPIPE
_P = ParamSpec("_P")


def command(main: Callable[_P, int | None]) -> Callable[_P, int]:
    """Makes ``main`` an entry point that always returns an exit status."""

    @functools.wraps(main)
    def entry(*args: _P.args, **kwargs: _P.kwargs) -> int:
        with _streams() as flush:
            status = _status(lambda: main(*args, **kwargs))
            return flush() or status

    return entry


def drop_failed_output() -> None:
    """From now on, drops output that cannot be written, instead of ending the command."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Descriptor):
        raw.on_loss = _ignore


def _status(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as error:
        if isinstance(error.code, str):
            _complain(error.code)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except StokerError as error:
        _complain(f"error: {error.message}")
        return error.exit_code if isinstance(error, StartupError) else 1
    except OSError as error:
        _complain(f"error: {described(error)}")
        return 1
    except UnicodeError as error:
        _complain(f"error: a text is not in the expected encoding: {error}")
        return 1


def described(error: Exception) -> str:
    """Returns an error as a sentence; an error of the system as ``FILE: reason``, without its number."""
    if not isinstance(error, OSError):
        return str(error)
    what = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{what}{error.strerror or error}"


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Descriptor(io.FileIO):
    """Standard output or error. Drops everything after the first failure."""

    def __init__(self, fd: int, on_loss: Callable[[OSError], object]) -> None:
        super().__init__(fd, "wb", closefd=False)
        self.on_loss = on_loss
        self._lost = False

    def write(self, data: Any) -> int:
        while not self._lost:
            try:
                written = super().write(data)
            except OSError as error:
                self._lost = True
                self.on_loss(error)
                break
            if written is not None:
                return written
            select.select([], [self], [])  # made non-blocking by another program on the terminal
        return memoryview(data).nbytes


def _ignore(error: OSError) -> None:
    pass


def _leave(error: OSError) -> NoReturn:
    if error.errno == errno.EPIPE:
        raise SystemExit(_READER_LEFT)
    _complain(f"error: the output cannot be written: {error.strerror}")
    raise SystemExit(1)


@contextmanager
def _streams() -> Iterator[Callable[[], int]]:
    """Yields a function that flushes the buffers and returns an exit status."""
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        yield lambda: 0  # replaced by the caller, as in a notebook
        return
    _replace_closed()
    old = sys.stdout, sys.stderr
    sys.stdout = _stream(1, sys.__stdout__, _leave)
    sys.stderr = _stream(2, sys.__stderr__, _ignore)
    try:
        yield lambda: _status(sys.stdout.flush)
    finally:
        sys.stdout, sys.stderr = old


def _stream(fd: int, old: TextIO | None, on_loss: Callable[[OSError], object]) -> TextIO:
    """Makes a stream like ``old``, which is None if the descriptor was closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(fd, on_loss)),
        encoding=old.encoding if old is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=old is None or bool(old.line_buffering),
    )


def _replace_closed() -> None:
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, fd)
            if null != fd:
                os.close(null)
            else:
                os.set_inheritable(fd, True)
