"""A worker process on another machine, with the interface of `pool.child_process.ChildProcess`."""

from __future__ import annotations

import asyncio
import socket


class RemoteProcess:
    """``node``: where it runs. ``lost_reason``: why its agent cannot report any more; ``exited`` gets
    None then."""

    pid: int
    node: str
    sock: socket.socket
    progress_fd: int
    stdout_fd: int
    stderr_fd: int
    exited: asyncio.Future[int | None]
    ended_first: int | None
    lost_reason: str | None

    def kill_group(self) -> None:
        raise NotImplementedError

    def memory_bytes(self) -> int:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
