"""What is remembered of each answered request: its line in the access log, its share of the request counters."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.core.ports import AccessLog, RequestTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecords:
    """Called once for each answer. Either port may be missing."""

    access_log: AccessLog | None = None
    telemetry: RequestTelemetry | None = None

    def answered(self, peer: str, request_line: str, status: int, seconds: float, request_id: str) -> None:
        """``request_line``: as the client sent it. ``seconds``: from its arrival to the end of its answer."""
        if self.access_log is not None:
            self.access_log.record(peer, request_line, status, int(seconds * 1000), request_id)
        if self.telemetry is not None:
            self.telemetry.answered(status)
