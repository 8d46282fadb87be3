"""A server in the background: the launcher forks, and waits a moment to see how the start goes.

Forked early, while the process has one thread and nothing is imported that starts more.  The child tells through a
pipe when all listeners are open; if it ends instead, its exit status becomes the launcher's.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable

Teller = Callable[[], None]
_STARTED = b"1"
_PATIENCE_S = 15.0


def start(run: Callable[[Teller], int]) -> int:
    """Calls ``run(tell_started)`` in a process of its own session. Returns in the launcher AND in the child, each time
    with an exit status.

    A server that takes longer than some seconds to listen is left to itself, as TorchServe's launcher does at once.
    """
    sys.stdout.flush()  # or both processes would print what is buffered
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _detach()
        return run(lambda: _tell(writer))
    os.close(writer)
    try:
        return _wait(reader, pid)
    finally:
        os.close(reader)


def _detach() -> None:
    """No terminal to read from, none whose hang-up or Ctrl-C would end the server; its output stays."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _tell(writer: int) -> None:
    try:
        os.write(writer, _STARTED)
    except BrokenPipeError:
        pass  # the launcher no longer waits
    os.close(writer)


def _wait(reader: int, pid: int) -> int:
    ready, _, _ = select.select([reader], [], [], _PATIENCE_S)
    if not ready or os.read(reader, 1) == _STARTED:
        return 0
    _, status = os.waitpid(pid, 0)
    return _exit_status(status)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
