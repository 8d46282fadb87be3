"""What is remembered of each answered request: its line in the access log, its share of the request counters."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stoker.core.ports import AccessLog, RequestTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecords:
    """Called once for each answer. Either port may be missing."""

    access_log: AccessLog | None = None
    telemetry: RequestTelemetry | None = None

    def answered(self, peer: str, request_line: str, status: int, started_at: float) -> None:
        """``request_line``: as the client sent it. ``started_at``: of the monotonic clock."""
        if self.access_log is not None:
            elapsed_ms = int((time.monotonic() - started_at) * 1000)
            self.access_log.record(peer, request_line, status, elapsed_ms)
        if self.telemetry is not None:
            self.telemetry.answered(status)
