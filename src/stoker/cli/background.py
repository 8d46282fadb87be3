"""Starts a server in the background, and waits briefly for the result of the start.

The server reports through a pipe when it is up; if it exits instead, its exit status becomes the launcher's.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence

from stoker.cli import server_process

_PATIENCE_S = 15.0
_STILL_LOADING = "TorchServe is still loading models in the background, and prints a line when it is up."


def start(command: Sequence[str]) -> int:
    """Runs ``command`` in a new session without a terminal for input; returns the exit status.

    After some seconds it leaves a server that is still loading models to itself, as TorchServe's launcher does at once.
    The server prints when it is up.
    """
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            env=server_process.environment_with_start_pipe(writer),
            stdin=subprocess.DEVNULL,
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        return _wait(reader, process)
    finally:
        os.close(reader)


def _wait(reader: int, process: subprocess.Popen[bytes]) -> int:
    ready, _, _ = select.select([reader], [], [], _PATIENCE_S)
    if not ready:
        print(_STILL_LOADING, flush=True)
    if not ready or server_process.wait_until_started(reader):
        process.returncode = 0  # it outlives this process, and Popen would warn
        return 0
    code = process.wait()
    if code == 0:
        print("The server was stopped while it started.", file=sys.stderr)
        return 1
    return code if code > 0 else 128 - code
