"""Exchanges heartbeats with a peer, and notices when it falls silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Heartbeats:
    """``send``: called every ``heartbeat_s``. ``read_rest``: reads what has already arrived; called before the peer is
    given up. ``on_silent``: called once with the seconds since the last `received`, if they exceed ``silence_s``."""

    def __init__(
        self,
        *,
        heartbeat_s: float,
        silence_s: float,
        send: Callable[[], None],
        read_rest: Callable[[], None],
        on_silent: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._send = send
        self._read_rest = read_rest
        self._on_silent = on_silent
        self._monotonic = monotonic
        self._received_at = 0.0
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Sends the first heartbeat, and counts the peer's silence from now on."""
        self._running = True
        self.received()
        self._beat()

    def received(self) -> None:
        """Records that the peer has sent something."""
        self._received_at = self._monotonic()

    def stop(self) -> None:
        """Stops sending, and no longer reports silence. Idempotent."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        if self._silent_s() > self._silence_s:
            self._read_rest()  # this loop may have been late, not the peer
        if not self._running:
            return
        silent_s = self._silent_s()
        if silent_s > self._silence_s:
            self._on_silent(silent_s)
            return
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat_s, self._beat)
        self._send()

    def _silent_s(self) -> float:
        return self._monotonic() - self._received_at
