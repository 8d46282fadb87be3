"""The server's end of the connection to an agent: messages and heartbeats, both ways.

Law: an agent that was silent for too long is lost, and so is the node for all we know; a busy handler is no silence,
because the agent is a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stoker.ipc import agent_messages, codec
from stoker.ipc.agent_messages import Beat, FromAgent, ToAgent
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Frame, FrameError
from stoker.pool.transport import FrameTransport

_LARGEST_OUTPUT_BYTES = 64 << 10


class AgentLink:
    """``on_message`` gets each message with its payload, ``on_lost`` why no more will come, once, and whether the agent
    has closed. ``on_beat``: called before each heartbeat."""

    def __init__(
        self,
        stream: Stream,
        *,
        heartbeat_s: float,
        silence_s: float,
        on_message: Callable[[FromAgent, memoryview], None],
        on_lost: Callable[[str, bool], None],
        on_beat: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_beat = on_beat
        self._monotonic = monotonic
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport = FrameTransport(
            stream, max_payload_bytes=_LARGEST_OUTPUT_BYTES, on_frame=self._on_frame, on_lost=self._lost
        )

    def start(self) -> None:
        self._heard_at = self._monotonic()
        self._transport.start()
        self._beat()

    def send(self, message: ToAgent) -> None:
        self._transport.write(codec.encode(message))

    def close(self) -> None:
        """Closes the connection, at which the agent ends its worker. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()
        self._stream.close()

    def _beat(self) -> None:
        if self._monotonic() - self._heard_at > self._silence_s:
            self._transport.read_rest()  # this loop may be what was late
        silent_s = self._monotonic() - self._heard_at
        if silent_s > self._silence_s:
            self.close()
            self._on_lost(f"gave no sign of life for {silent_s:.0f} s", False)
            return
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat_s, self._beat)
        self.send(Beat())
        self._on_beat()

    def _on_frame(self, frame: Frame) -> None:
        self._heard_at = self._monotonic()
        self._on_message(agent_messages.decode_from_agent(frame.header), frame.payload)

    def _lost(self, error: FrameError | None) -> None:
        self.close()
        if error is None:
            self._on_lost("closed its connection", True)
        else:
            self._on_lost("sent something that is no valid message", False)
