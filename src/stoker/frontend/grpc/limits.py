"""Limits what one HTTP/2 connection may use, and detects floods of frames. PURE."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits per connection; ``connections``: their number per listener.

    ``header_bytes``: one call's header list; a larger one refuses that call alone.  ``continuations``: CONTINUATION
    frames of one header list; 0: as many as it may need.  ``handshake_s``: time for the TLS handshake, from the accept
    on.  ``first_s``: time from the connection to its SETTINGS, and to its first call.  ``idle_s``: time without a call
    after that.  ``slow_s``: time without a byte of an incomplete request.  ``stream_window``: bytes that a call may
    send before its message's size is known.  ``message_window``: most bytes of a large message in transit.
    ``unread_bytes``: unread bytes of answers beyond which no request is begun.  ``reset_burst``, ``resets_per_second``:
    calls that the client resets.  ``control_frame_burst``, ``control_frames_per_second``: see `FloodGuard`.
    """

    connections: int = 10_000
    calls: int = 1024
    header_bytes: int = 16 * KIB
    continuations: int = 0
    handshake_s: float = 20.0
    first_s: float = 60.0
    idle_s: float = 600.0
    slow_s: float = 60.0
    stream_window: int = 64 * KIB
    message_window: int = 4 * MIB
    unread_bytes: int = 64 * MIB
    reset_burst: int = 2_000
    resets_per_second: int = 200
    control_frame_burst: int = 2_000
    control_frames_per_second: int = 50


class FloodGuard:
    """Counts frames that make the server work and bring no request: PING, SETTINGS, WINDOW_UPDATE, empty DATA.

    A token bucket that refills with time, with every request and with every byte of an answer: a client that reads fast
    sends many window updates, and some clients send a PING for each answer, however small.  Tokens for requests and
    answers may cover more frames at once than the burst, but those beyond the burst are not saved.
    """

    PER_REQUEST = 8
    PER_BYTE_SENT = 1 / 512

    __slots__ = ("_burst", "_left", "_per_second", "_seen_at", "bytes_sent", "requests")

    def __init__(self, now: float, limits: Limits) -> None:
        self._burst, self._per_second = limits.control_frame_burst, limits.control_frames_per_second
        self._left: float = self._burst
        self._seen_at = now
        self.bytes_sent = 0  # since the last call of `allows`
        self.requests = 0

    def allows(self, frames: int, now: float) -> bool:
        """Takes ``frames`` from the bucket; False once it is empty."""
        left = min(self._burst, self._left + (now - self._seen_at) * self._per_second)
        earned = self.bytes_sent * self.PER_BYTE_SENT + self.requests * self.PER_REQUEST
        self._left = left + earned - frames
        self._seen_at, self.bytes_sent, self.requests = now, 0, 0
        return self._left >= 0
