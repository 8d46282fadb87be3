"""`torchserve --stop`: asks the server of this temp folder to end, and waits until it has.

The server removes its own files; what is removed here is what a killed one of the same user has left.
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
    """The exit status. A server that is already gone is no error, as with TorchServe."""
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
            "torchserve --stop once more ends it without waiting for them.",
            file=sys.stderr,
        )
        return 1
    instance.remove_orphan()
    print("TorchServe has stopped.")
    return 0


def ask(server: Identity, *, wait_s: float) -> bool:
    """Whether it is gone within that time. Asked once each time: for the server a second request means 'now'. The pidfd
    cannot come to mean another process. Raises PermissionError: it is another user's."""
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
