"""Connects the server to an agent: exchanges messages and heartbeats.

Invariant: an agent that is silent for too long is lost, presumably with its node; a busy handler does not silence the
agent, which is a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from stoker.ipc import agent_messages, codec
from stoker.ipc.agent_messages import FromAgent, Heartbeat, ToAgent
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Frame, FrameError
from stoker.pool.heartbeats import Heartbeats
from stoker.pool.transport import FrameTransport

_LARGEST_OUTPUT_BYTES = 64 << 10


class AgentLink:
    """``on_message`` gets each message with its payload. ``on_lost`` is called once: with the reason, as the end of a
    sentence, and with whether the agent closed the connection. ``on_heartbeat`` is called with each heartbeat sent."""

    def __init__(
        self,
        stream: Stream,
        *,
        heartbeat_s: float,
        silence_s: float,
        on_message: Callable[[FromAgent, memoryview], None],
        on_lost: Callable[[str, bool], None],
        on_heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_heartbeat = on_heartbeat
        self._transport = FrameTransport(
            stream, max_payload_bytes=_LARGEST_OUTPUT_BYTES, on_frame=self._on_frame, on_lost=self._lost
        )
        self._heartbeats = Heartbeats(
            heartbeat_s=heartbeat_s,
            silence_s=silence_s,
            send=self._send_heartbeat,
            read_rest=self._transport.read_rest,
            on_silent=self._silent,
        )

    def start(self) -> None:
        self._transport.start()
        self._heartbeats.start()

    def send(self, message: ToAgent) -> None:
        self._transport.write(codec.encode(message))

    def close(self) -> None:
        """Closes the connection, at which the agent ends its worker. Idempotent."""
        self._heartbeats.stop()
        self._transport.close()
        self._stream.close()

    def _send_heartbeat(self) -> None:
        self.send(Heartbeat())
        self._on_heartbeat()

    def _silent(self, seconds: float) -> None:
        self.close()
        self._on_lost(f"sent no heartbeat for {seconds:.0f} s", False)

    def _on_frame(self, frame: Frame) -> None:
        self._heartbeats.received()
        self._on_message(agent_messages.decode_from_agent(frame.header), frame.payload)

    def _lost(self, error: FrameError | None) -> None:
        self.close()
        if error is None:
            self._on_lost("closed its connection", True)
        else:
            self._on_lost("sent an invalid message", False)
