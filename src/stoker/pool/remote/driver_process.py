"""Controls the driver process of a Ray cluster.

Invariants: each request ends, with `DriverLost` if the driver dies or violates the protocol; an abandoned request is
released.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence

from stoker.core.remote import RayNeeds
from stoker.errors import WorkerDied
from stoker.ipc import codec
from stoker.ipc import driver_messages as messages
from stoker.ipc.driver_messages import (
    Begin,
    Connected,
    Ended,
    Failed,
    FromDriver,
    Node,
    Pending,
    Place,
    Placed,
    Refused,
    Release,
    ToDriver,
)
from stoker.ipc.frames import Frame, FrameError
from stoker.pool import causes
from stoker.pool.child_process import ChildProcess, spawn
from stoker.pool.logs import PipeLog
from stoker.pool.remote.error_line import ErrorLine
from stoker.pool.transport import FrameTransport

log = logging.getLogger(__name__)

CONNECT_S = 90.0
"""Timeout for Ray to join a cluster, or to start one on this machine."""

_MODULE = "stoker.ray.driver"
_STOP_S = 10.0
_CLOSED_GRACE_S = 2.0  # a process that ends closes its connection first
_OURS = re.compile(r"(?:STOKER|TS)_.*")


class DriverLost(WorkerDied):
    """The driver has ended, or there is no cluster."""


class Request:
    """Requests the actors of one worker. ``placed`` gets their nodes. ``on_pending``: as in `pool.remote.placement`.
    ``on_ended`` gets the number of each process whose actor has ended, and why it was lost (empty: it was not)."""

    def __init__(self, number: int, send: Callable[[ToDriver], None], on_pending: Callable[[str], None]) -> None:
        self._number = number
        self._send = send
        self._on_pending = on_pending
        self.placed: asyncio.Future[list[Node]] = asyncio.get_running_loop().create_future()
        self.on_ended: Callable[[int, str], None] = lambda process, reason: None

    def begin(self, orders: Sequence[bytes]) -> None:
        self._send(Begin(request=self._number, orders=list(orders)))

    def release(self) -> None:
        """Ends the actors, or the wait for them. Idempotent."""
        self._send(Release(self._number))

    def take(self, message: Pending | Placed | Failed | Ended) -> None:
        if isinstance(message, Pending):
            self._on_pending(message.shortage)
        elif isinstance(message, Ended):
            self.on_ended(message.process, message.reason)
        elif isinstance(message, Failed):
            self.fail(WorkerDied(message.reason))
        elif not self.placed.done():
            self.placed.set_result(message.nodes)

    def fail(self, error: WorkerDied) -> None:
        if not self.placed.done():
            self.placed.set_exception(error)
            self.placed.exception()  # else asyncio logs it when no one waits


class Driver:
    """One driver process. ``connected`` gets its report on the cluster, or `DriverLost`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._requests: dict[int, Request] = {}
        self._numbers = itertools.count(1)
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[Connected] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        about = {"pid": process.pid, "event": "ray_output"}
        self._error_line = ErrorLine()
        self._logs = [
            PipeLog(fd, level=logging.INFO, label="ray", about=about, on_line=self._error_line.add)
            for fd in (process.stdout_fd, process.stderr_fd)
        ]
        self._ending: asyncio.TimerHandle | None = None
        self._transport = FrameTransport(
            process.sock, max_payload_bytes=0, on_frame=self._on_frame, on_lost=self._on_lost
        )

    def start(self) -> None:
        self._transport.start()
        for pipe in self._logs:
            pipe.start()
        self._process.exited.add_done_callback(self._exited)

    def request(self, name: str, needs: RayNeeds, *, processes: int, on_pending: Callable[[str], None]) -> Request:
        """Asks for the actors of a worker. Raises DriverLost."""
        if self.gone.done():
            raise DriverLost("the connection to the Ray cluster was lost")
        number = next(self._numbers)
        request = self._requests[number] = Request(number, self._send, on_pending)
        resources = dict(needs.resources)
        self._send(Place(request=number, name=name, resources=resources, processes=processes, spread=needs.spread))
        return request

    async def close(self) -> None:
        """Ends the process and, with it, all actors. Idempotent."""
        self._transport.close()
        self._process.sock.close()
        await asyncio.wait({self.gone}, timeout=_STOP_S)
        self._process.kill_group()
        await asyncio.wait({self.gone}, timeout=_STOP_S)

    def kill(self) -> None:
        self._process.kill_group()

    def give_up(self) -> DriverLost:
        """Kills a process that does not join the cluster; returns the error."""
        self.kill()
        return DriverLost(f"the Ray cluster did not answer within {CONNECT_S:g} s{self._printed()}")

    # ---------------------------------------------------------------------------------------- messages

    def _send(self, message: ToDriver) -> None:
        if isinstance(message, Release):
            self._requests.pop(message.request, None)
        self._transport.write(codec.encode(message))

    def _on_frame(self, frame: Frame) -> None:
        self._take(messages.decode_from_driver(frame.header))

    def _take(self, message: FromDriver) -> None:
        if isinstance(message, Connected):
            if not self.connected.done():
                self.connected.set_result(message)
        elif isinstance(message, Refused):
            self._fail(DriverLost(message.reason))
        else:
            request = self._requests.get(message.request)
            if request is not None:
                request.take(message)

    def _on_lost(self, error: FrameError | None) -> None:
        if error is not None:
            log.error("Ray's driver broke the protocol: %s", error, extra={"event": "bad_frame"})
            self._process.kill_group()
        else:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(_CLOSED_GRACE_S, self._process.kill_group)

    # ---------------------------------------------------------------------------------------- the end

    def _exited(self, code: asyncio.Future[int | None]) -> None:
        self._transport.read_rest()
        self._transport.close()
        for pipe in self._logs:
            pipe.close()
        if self._ending is not None:
            self._ending.cancel()
        why = causes.death_of(code.result(), out_of_memory=lambda: False).cause
        if self.connected.done():
            self._fail(DriverLost(f"the connection to the Ray cluster was lost: its driver ended: {why}"))
        else:
            self._fail(DriverLost(f"the Ray cluster cannot be joined: Ray ended the attempt ({why}){self._printed()}"))
        self._process.close()
        if not self.gone.done():
            self.gone.set_result(None)

    def _printed(self) -> str:
        line = str(self._error_line)
        return f"; Ray printed: {line}" if line else ""

    def _fail(self, error: DriverLost) -> None:
        if not self.connected.done():
            self.connected.set_exception(error)
            self.connected.exception()  # else asyncio logs it when no one waits
        for request in self._requests.values():
            request.fail(error)


def start_driver(address: str) -> Driver:
    """Starts a driver process that joins the cluster at ``address``. Raises OSError: it cannot be started."""

    def command(socket_fd: int, progress_fd: int) -> list[str]:
        return [sys.executable, "-m", _MODULE, "--socket-fd", str(socket_fd), "--address", address]

    env = {name: value for name, value in os.environ.items() if not _OURS.fullmatch(name)}
    driver = Driver(spawn(command, cwd="/", env=env))
    driver.start()
    return driver
