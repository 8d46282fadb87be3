"""Connects a worker on another machine to its server.

The agent that started it sends the server's address and the paths on this machine over the inherited socket.  The
server's clock differs from this machine's: compare its deadlines with `Remote.monotonic`.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass

import msgspec

from stoker.ipc.agent_messages import Connect, decode_connect
from stoker.ipc.dialing import dial
from stoker.ipc.frames import FrameError
from stoker.ipc.opening import Kind
from stoker.ipc.to_worker import Load
from stoker.worker.connection import Connection, leave

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """Connection of a worker on another machine. ``ahead_s``: seconds by which the server's clock is ahead."""

    connect: Connect
    ahead_s: float

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def with_local_paths(self, message: Load) -> Load:
        """Replaces the server's paths by those on this machine."""
        connect = self.connect
        return msgspec.structs.replace(message, model_dir=connect.model_dir, metrics_config=connect.metrics_config)


def join(agent: socket.socket) -> tuple[Connection, Remote]:
    """Connects to the server. Ends the process if it cannot be reached."""
    try:
        with agent:
            connect = decode_connect(agent.recv(_MOST_BYTES))
        stream, server_now = dial(
            connect.host, connect.port, Kind.WORKER, connect.token, ca=connect.ca, tls_name=connect.tls_name
        )
    except (OSError, FrameError) as error:
        print(f"The worker cannot connect to its server: {error}", file=sys.stderr)  # noqa: T201 - the worker's log
        leave(1)
    return Connection(stream), Remote(connect, server_now - time.monotonic())
