"""Implements `pool.running_process.RunningProcess` for a worker on another machine.

Created when its agent connects; usable once the worker has connected too.  What the agent reports is exact: return
code, output, and the newest batch that had begun.  If the agent or its node is lost, that batch is unknown, because the
last heartbeat is older than any short batch.  A worker whose connection stalls while its agent's does not is killed,
which makes the batch known.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from stoker.errors import WorkerDied
from stoker.ipc.agent_messages import (
    OUTPUT_REST_BYTES,
    OUTPUT_WINDOW_BYTES,
    STDERR,
    STDOUT,
    Arrived,
    Exited,
    FromAgent,
    Kill,
    Output,
    Refused,
    Started,
    Taken,
    Usage,
)
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import FrameError
from stoker.pool import causes
from stoker.pool.progress import progress_marker, record_progress
from stoker.pool.remote import tcp_state
from stoker.pool.remote.agent_link import AgentLink
from stoker.pool.remote.output_pipe import OutputPipe

KILL_REPORT_S = 5.0
"""Timeout for the agent to report the end of a worker that it was asked to kill."""

_REST_S = 2.0  # for what a dead worker had sent and printed to arrive
_POLL_S = 0.005
_MOST_OUTPUT_BYTES = OUTPUT_WINDOW_BYTES + OUTPUT_REST_BYTES


class RemoteProcess:
    """``shares_cores`` is set by whoever placed the worker. ``started`` is done when the process runs, ``connected``
    when `sock` is set. ``death``: why it ended, once ``exited`` is done."""

    def __init__(self, stream: Stream, *, heartbeat_s: float, silence_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.node = "another machine"
        self.shares_cores = False
        self.pid = 0
        self.ended_first: int | None = None  # it has no ranks
        self.death: WorkerDied | None = None
        self.started: asyncio.Future[None] = loop.create_future()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int | None] = loop.create_future()
        self._loop = loop
        self._stream: Stream | None = None
        self._memory_bytes = 0
        self._silence_s = silence_s
        self._ending: asyncio.Task[None] | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._outputs = {stream: OutputPipe(self._taken(stream)) for stream in (STDOUT, STDERR)}
        self._progress_fd = progress_marker()
        self._agent = AgentLink(
            stream,
            heartbeat_s=heartbeat_s,
            silence_s=silence_s,
            on_message=self._on_message,
            on_lost=self._agent_lost,
            on_heartbeat=self._check_connection,
        )

    def start(self) -> None:
        self._agent.start()

    def connect(self, stream: Stream) -> None:
        """Takes the worker's connection; closes a second one."""
        if self._stream is not None or self.exited.done():
            stream.close()
            return
        self._stream = stream
        self.connected.set_result(None)

    # ----------------------------------------------------------------------------------- as a RunningProcess

    @property
    def sock(self) -> Stream:
        assert self._stream is not None
        return self._stream

    @property
    def progress_fd(self) -> int:
        return self._progress_fd

    @property
    def stdout_fd(self) -> int:
        return self._outputs[STDOUT].reader

    @property
    def stderr_fd(self) -> int:
        return self._outputs[STDERR].reader

    def kill_group(self) -> None:
        """Has the agent kill the process and all it started."""
        if not self.exited.done() and self._kill_timer is None:
            self._agent.send(Kill())
            reason = "did not report the worker's end"
            self._kill_timer = self._loop.call_later(KILL_REPORT_S, self._agent_lost, reason, False)

    def memory_bytes(self) -> int:
        return self._memory_bytes

    def close(self) -> None:
        """Closes all connections, at which an agent that still runs ends the worker. Idempotent."""
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if self._ending is not None:
            self._ending.cancel()
        self._agent.close()
        if self._stream is not None:
            self._stream.close()
        for output in self._outputs.values():
            output.close()
        if self._progress_fd >= 0:
            os.close(self._progress_fd)
            self._progress_fd = -1

    # ------------------------------------------------------------------------------------ from the agent

    def _on_message(self, message: FromAgent, payload: memoryview) -> None:
        if isinstance(message, Output):
            self._print(message.stream, payload)
        elif isinstance(message, Usage):
            self._on_usage(message)
        elif isinstance(message, Arrived):
            self.node = message.node
        elif isinstance(message, Started):
            self.pid = message.pid
            if not self.started.done():
                self.started.set_result(None)
        elif isinstance(message, Refused):
            self._end(WorkerDied(message.reason), None, progress=0, connection_ends=True)
        else:
            self._on_exit(message)

    def _on_usage(self, message: Usage) -> None:
        self._memory_bytes = message.memory_bytes
        if self._ending is None:
            record_progress(self._progress_fd, message.progress)

    def _on_exit(self, message: Exited) -> None:
        death = causes.death_of(message.code, out_of_memory=lambda: message.out_of_memory)
        self._end(death, message.code, progress=message.progress, connection_ends=self.death is None)

    def _print(self, stream: int, data: memoryview) -> None:
        output = self._outputs.get(stream)
        if output is None or output.waiting_bytes + len(data) > _MOST_OUTPUT_BYTES:
            raise FrameError("output of no known stream, or beyond the window")
        output.write(data)

    def _taken(self, stream: int) -> Callable[[int], None]:
        return lambda nbytes: self._agent.send(Taken(stream, nbytes))

    # ------------------------------------------------------------------------------------ its end

    def lost(self, reason: str) -> None:
        """Records that the process is gone, and that its agent will not report on it."""
        self._agent.close()
        self._end(WorkerDied(reason), None, progress=None, connection_ends=False)

    def _agent_lost(self, what: str, closed: bool) -> None:
        """``closed``: the node's kernel closed the agent's connection, so it closes the worker's too."""
        self._agent.close()
        self._end(WorkerDied(f"its agent on {self.node} {what}"), None, progress=None, connection_ends=closed)

    def _check_connection(self) -> None:
        if self._stream is not None and self._ending is None and tcp_state.is_stalled(self._stream, self._silence_s):
            self.death = self.death or WorkerDied(f"the connection to {self.node} is stalled")
            self.kill_group()

    def _end(self, death: WorkerDied, code: int | None, *, progress: int | None, connection_ends: bool) -> None:
        """Ends the process; later calls are ignored. ``progress``: None: unknown. ``connection_ends``: the worker's
        end of its connection is closed or will be, so all that it sent can be read."""
        if self._ending is None:
            self.death = self.death or death
            record_progress(self._progress_fd, progress)
            self._ending = self._loop.create_task(self._finish(code, connection_ends=connection_ends))

    async def _finish(self, code: int | None, *, connection_ends: bool) -> None:
        """Sets ``exited`` once the rest of what the worker sent and printed has arrived, or `_REST_S` have passed."""
        if not connection_ends:
            self._shut_down()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait_for_rest(connection_ends=connection_ends), _REST_S)
        self._shut_down()
        for output in self._outputs.values():
            output.end()
        if not self.exited.done():
            self.exited.set_result(code)

    async def _wait_for_rest(self, *, connection_ends: bool) -> None:
        while self._output_waits() or (connection_ends and self._may_send()):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(_POLL_S)

    def _output_waits(self) -> bool:
        return any(output.waiting_bytes for output in self._outputs.values())

    def _may_send(self) -> bool:
        return self._stream is not None and not tcp_state.has_ended(self._stream)

    def _shut_down(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
