"""Waits for one worker on another machine to connect: from its tokens to its process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Any

from stoker.archive.bundle import Bundle
from stoker.errors import WorkerDied
from stoker.ipc.dialing import Stream
from stoker.ipc.opening import Kind
from stoker.node.order import Archive, BorderAccess
from stoker.pool.remote.remote_process import RemoteProcess
from stoker.pool.remote.tokens import Tokens

log = logging.getLogger(__name__)

AGENT_TIMEOUT_S = 60.0
WORKER_TIMEOUT_S = 120.0  # for the interpreter to start, as in TorchServe

_TAIL_BYTES = 4096


class ExpectedWorker:
    """Ends when `process` returns, or by `lost` or `cancel`; its tokens become invalid then.

    ``order_fields``: keyword arguments for `node.order.Order`. ``at``: those of `BorderAccess`, without the tokens.
    """

    def __init__(
        self,
        name: str,
        tokens: Tokens[ExpectedWorker],
        *,
        at: dict[str, Any],
        bundle: Bundle | None,
        heartbeat_s: float,
        silence_s: float,
        agent_timeout_s: float = AGENT_TIMEOUT_S,
        worker_timeout_s: float = WORKER_TIMEOUT_S,
    ) -> None:
        self.name = name
        self.bundle = bundle
        self._tokens = tokens
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._agent_timeout_s = agent_timeout_s
        self._worker_timeout_s = worker_timeout_s
        self._arrived: asyncio.Future[RemoteProcess] = asyncio.get_running_loop().create_future()
        self._process: RemoteProcess | None = None
        self._over = False
        self._made = {kind: tokens.make(kind, self) for kind in Kind if bundle is not None or kind is not Kind.FETCH}
        self.order_fields: dict[str, Any] = {
            "name": name,
            "border": BorderAccess(
                **at,
                agent_token=self._made[Kind.AGENT],
                worker_token=self._made[Kind.WORKER],
                fetch_token=self._made.get(Kind.FETCH, b""),
            ),
            "archive": None if bundle is None else Archive(hash=bundle.hash, size=bundle.size, name=bundle.name),
            "heartbeat_s": heartbeat_s,
            "silence_s": silence_s,
        }

    async def process(self) -> RemoteProcess:
        """Waits until agent and worker are connected.

        Raises: WorkerDied: the agent reported that it could not start the worker, was lost, or did not connect in time.
        """
        try:
            process = await self._agent_arrives()
            await self._wait_for(process.started, process, None)
            await self._wait_for(process.connected, process, self._worker_timeout_s)
        except BaseException:
            self.cancel()
            raise
        self._forget_tokens()
        return process

    def lost(self, reason: str) -> None:
        """Records that the node or the actor is gone, also after `process` has returned. ``reason`` names the node."""
        if self._process is not None:
            self._process.lost(reason)
        elif not self._arrived.done():
            self._arrived.set_exception(WorkerDied(reason))
            self._arrived.exception()  # else asyncio logs it when no one waits

    def cancel(self) -> None:
        """Stops waiting, and closes the connections that were opened. Idempotent."""
        self._over = True
        self._forget_tokens()
        if self._process is not None:
            self._log_output(self._process)
            self._process.close()
        self._arrived.cancel()

    async def _agent_arrives(self) -> RemoteProcess:
        await asyncio.wait({self._arrived}, timeout=self._agent_timeout_s)
        if not self._arrived.done():
            raise WorkerDied(f"no agent connected to the server within {self._agent_timeout_s:g} s")
        return self._arrived.result()

    async def _wait_for(self, wanted: asyncio.Future[None], process: RemoteProcess, timeout_s: float | None) -> None:
        futures: set[asyncio.Future[Any]] = {wanted, process.exited}
        await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if process.exited.done():
            raise process.death or WorkerDied()
        if not wanted.done():
            raise WorkerDied(f"the process on {process.node} did not connect within {timeout_s:g} s")

    # ---------------------------------------------------------------------------------------- from the border

    def connected(self, kind: Kind, stream: Stream) -> None:
        """Takes the connection of the agent or the worker, which has shown its token."""
        if self._over:
            stream.close()
        elif kind is Kind.AGENT:
            self._process = RemoteProcess(stream, heartbeat_s=self._heartbeat_s, silence_s=self._silence_s)
            self._process.start()
            if not self._arrived.done():
                self._arrived.set_result(self._process)
        elif self._process is not None:
            self._process.connect(stream)
        else:  # the agent starts the worker, so a worker cannot come first
            stream.close()

    def _forget_tokens(self) -> None:
        for token in self._made.values():
            self._tokens.discard(token)

    def _log_output(self, process: RemoteProcess) -> None:
        """Logs the last lines printed by a worker that never connected: no `PipeLog` reads them yet."""
        printed = b"".join(_rest_of(fd) for fd in (process.stdout_fd, process.stderr_fd) if fd >= 0)
        for line in printed[-_TAIL_BYTES:].decode(errors="replace").splitlines():
            log.warning("Worker %s on %s: %s", self.name, process.node, line, extra={"event": "worker_output"})


def _rest_of(fd: int) -> bytes:
    """Reads all that a pipe holds: at most 64 KiB."""
    with contextlib.suppress(OSError):
        return os.read(fd, 1 << 16)
    return b""
