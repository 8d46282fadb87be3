"""`torchserve --stop`: asks the server of this temp folder to end, and waits until it has."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from stoker.cli.instance import Instance
from stoker.cli.process_id import Identity

_PATIENCE_S = 60.0
_KEY_FILE = "key_file.json"


def stop(temp_dir: Path) -> int:
    """The exit status. A server that is already gone is no error, as with TorchServe."""
    instance = Instance(temp_dir)
    server = instance.running()
    if server is None:
        if _remove_orphan(instance):
            print("Removing orphan pid file.")
        print("TorchServe is not currently running.")
        return 0
    try:
        ended = _end(server)
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
    _clean_up(instance)
    print("TorchServe has stopped.")
    return 0


def _end(server: Identity) -> bool:
    """Whether it is gone. Asked once each time: for the server a second request means 'now'. The pidfd cannot come
    to mean another process."""
    try:
        fd = os.pidfd_open(server.pid)
    except ProcessLookupError:
        return True
    try:
        if Identity.of(server.pid) != server:
            return True
        signal.pidfd_send_signal(fd, signal.SIGTERM)
        return _ends_within(fd, _PATIENCE_S)
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def _ends_within(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _clean_up(instance: Instance) -> None:
    """TorchServe writes tokens into the current folder and its --stop removes them; a killed server leaves its pid."""
    Path(_KEY_FILE).unlink(missing_ok=True)
    if instance.running() is None:
        _remove_orphan(instance)


def _remove_orphan(instance: Instance) -> bool:
    try:
        return instance.remove_orphan()
    except OSError:
        return False  # somebody else's file: their `--stop` removes it
