"""Connects the agent to the server: exchanges messages and heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from stoker.ipc import agent_messages, codec
from stoker.ipc.agent_messages import Arrived, FromAgent, Heartbeat, Kill, Taken, Usage
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Frame, FrameError
from stoker.pool.child_process import ChildProcess
from stoker.pool.heartbeats import Heartbeats
from stoker.pool.progress import progress_of
from stoker.pool.transport import FrameTransport

_LARGEST_BYTES = 4096
_CLOSE_TIMEOUT_S = 10.0


class TakesCredit(Protocol):
    stream: int

    def taken(self, nbytes: int) -> None: ...


class ServerLink:
    """``gone`` is done when the server has closed the connection or was silent for too long. ``killed``: the server
    asked the agent to kill the worker."""

    def __init__(self, stream: Stream, *, heartbeat_s: float, silence_s: float) -> None:
        stream.setblocking(False)
        self._stream = stream
        self._child: ChildProcess | None = None
        self._outputs: Sequence[TakesCredit] = ()
        self.killed = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport = FrameTransport(
            stream, max_payload_bytes=_LARGEST_BYTES, on_frame=self._on_frame, on_lost=self._lost
        )
        self._heartbeats = Heartbeats(
            heartbeat_s=heartbeat_s,
            silence_s=silence_s,
            send=self._send_usage,
            read_rest=self._transport.read_rest,
            on_silent=lambda seconds: self._lost(None),
        )

    def start(self, node: str) -> None:
        self._transport.start()
        self.send(Arrived(node))
        self._heartbeats.start()

    def attach(self, child: ChildProcess, outputs: Sequence[TakesCredit]) -> None:
        """Starts reporting on ``child``; kills it if the server has already asked for that."""
        self._child, self._outputs = child, outputs
        if self.killed:
            child.kill_group()

    def detach(self) -> None:
        self._child, self._outputs = None, ()

    def send(self, message: FromAgent, payload: bytes | None = None) -> None:
        self._transport.write(codec.encode(message, [] if payload is None else [payload]))

    async def close(self) -> None:
        """Sends what is buffered, and waits up to `_CLOSE_TIMEOUT_S` for the server to close the connection."""
        self._heartbeats.stop()
        await asyncio.wait({self.gone}, timeout=_CLOSE_TIMEOUT_S)
        self._transport.close()
        self._stream.close()

    def _send_usage(self) -> None:
        child = self._child
        self.send(Usage(0, 0) if child is None else Usage(child.memory_bytes(), progress_of(child.progress_fd)))

    def _on_frame(self, frame: Frame) -> None:
        self._heartbeats.received()
        message = agent_messages.decode_to_agent(frame.header)
        if isinstance(message, Taken):
            for output in self._outputs:
                if output.stream == message.stream:
                    output.taken(message.nbytes)
        elif isinstance(message, Kill):
            self.killed = True
            if self._child is not None:
                self._child.kill_group()
        else:
            assert isinstance(message, Heartbeat)

    def _lost(self, error: FrameError | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
