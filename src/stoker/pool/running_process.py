"""Defines what the pool needs from a worker's process, on whichever machine it runs."""

from __future__ import annotations

import asyncio
from typing import Protocol

from stoker.errors import WorkerDied
from stoker.ipc.dialing import Stream


class RunningProcess(Protocol):
    """``exited`` gets the return code (see `subprocess.Popen.returncode`) once the process is reaped, or None if that
    is lost. The owner calls `close` after that.

    ``node``: where it runs; None: started by the server itself. ``shares_cores``: it runs on the server's machine,
    which may also be a node. ``ended_first``: the rank that ended first; None: it has no ranks. ``death``: why it
    ended, where that says more than the return code.
    """

    exited: asyncio.Future[int | None]

    @property
    def pid(self) -> int: ...

    @property
    def node(self) -> str | None: ...

    @property
    def shares_cores(self) -> bool: ...

    @property
    def sock(self) -> Stream: ...

    @property
    def progress_fd(self) -> int: ...

    @property
    def stdout_fd(self) -> int: ...

    @property
    def stderr_fd(self) -> int: ...

    @property
    def ended_first(self) -> int | None: ...

    @property
    def death(self) -> WorkerDied | None: ...

    def kill_group(self) -> None:
        """Kills the process and all it started. Does nothing once it is reaped."""
        ...

    def memory_bytes(self) -> int: ...

    def close(self) -> None: ...
