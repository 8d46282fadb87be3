"""What the access log lets wait is bounded in bytes, also where clients send very long request lines."""

from __future__ import annotations

from stoker.telemetry.access import BufferedAccessLog
from stoker.telemetry.writer import LogWriter


class _Sink:
    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)


async def test_long_request_lines_count_with_their_length_against_what_may_wait() -> None:
    sink, most = _Sink(), 100_000
    writer = LogWriter(name="log files", on_trouble=lambda text: None, max_pending_bytes=most)
    log = BufferedAccessLog(writer, sink)
    for number in range(20):
        log.record([(1.0, "127.0.0.1:1", f"GET /{number:050000} HTTP/1.1", 404, 0, "")])
        log.flush()
    writer.write_pending()
    assert 0 < sink.size <= most
