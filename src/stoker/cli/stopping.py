"""Implements `torchserve --stop`: asks the server of this temp folder to end, and waits.

The server removes its own files; this module removes what a killed server of the same user left.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from stoker.cli.instance import Instance
from stoker.cli.process_id import Identity

_PATIENCE_S = 60.0


def stop(temp_dir: Path) -> int:
    """Returns the exit status. As in TorchServe, a server that has already ended is not an error."""
    instance = Instance(temp_dir)
    server = instance.running()
    if server is None:
        if instance.remove_orphan():
            print("Removing orphan pid file.")
        print("TorchServe is not currently running.")
        return 0
    try:
        ended = ask(server, wait_s=_PATIENCE_S)
    except PermissionError:
        print(f"TorchServe (process {server.pid}) belongs to another user.", file=sys.stderr)
        return 1
    if not ended:
        print(
            f"TorchServe (process {server.pid}) still serves the requests it has accepted. "
            "Run torchserve --stop again to end it without waiting.",
            file=sys.stderr,
        )
        return 1
    instance.remove_orphan()
    print("TorchServe has stopped.")
    return 0


def ask(server: Identity, *, wait_s: float) -> bool:
    """Asks the process to end, and tells whether it did in time.

    Asks once: to the server, a second request means 'now'.  The pidfd cannot come to mean another process.

    Raises PermissionError: it belongs to another user.
    """
    try:
        fd = os.pidfd_open(server.pid)
    except ProcessLookupError:
        return True
    try:
        if Identity.of(server.pid) != server:
            return True
        signal.pidfd_send_signal(fd, signal.SIGTERM)
        return _ends_within(fd, wait_s)
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def _ends_within(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
