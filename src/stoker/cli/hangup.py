"""Handles SIGHUP: reopens the server's log files, as logrotate expects.

The kernel sends the same signal when a terminal closes.  A server that was started in it then stops, like other
programs, unless hang-ups are ignored (nohup).  One that was started without ``--foreground`` has no terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_TERMINAL = "/dev/tty"  # the controlling terminal of the process that opens it


@contextlib.contextmanager
def reopens(logs: Callable[[], None]) -> Iterator[None]:
    """Within the block, makes a hang-up call ``logs`` in a thread, or stop the server if its terminal has closed."""
    before = signal.getsignal(signal.SIGHUP)
    may_lose_terminal = before is not signal.SIG_IGN and _has_terminal()

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if may_lose_terminal and not _has_terminal():
            signal.raise_signal(signal.SIGTERM)
        else:  # not in the handler: the interrupted code may hold a lock of the logs
            threading.Thread(target=logs, name="stoker-reopen", daemon=True).start()

    signal.signal(signal.SIGHUP, on_hangup)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
