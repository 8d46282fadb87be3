"""Runs h2load as a closed loop over gRPC, and parses its report and its request log.

Over TLS it accepts any certificate.  h2load counts HTTP status 200, which a failed gRPC call has too.  A failed call
has no message, so the number of bytes received must match the answered requests; `checking` checks the contents.
"""

from __future__ import annotations

import math
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stoker.bench.loads import GRACE_S, Load, LoadResult, run_client, why_unusable
from stoker.bench.spread import latencies

_FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s|m),")
_REQUESTS = re.compile(
    r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout"
)
_TRAFFIC = re.compile(r"\((\d+)\) data")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Report:
    """The figures of h2load's standard output."""

    seconds: float
    done: int
    succeeded: int
    failed: int
    data_bytes: int


def grpc_frame(message: bytes) -> bytes:
    """Frames a message as in the HTTP/2 stream: not compressed, length, message."""
    return struct.pack(">BI", 0, len(message)) + message


def run(load: Load, *, tool: Path) -> LoadResult:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(grpc_frame(load.request.body))
        timing = ["-D", str(whole_seconds(load.duration_s))]
        finished = run_client([tool, *timing, *command(load, body, log)], timeout_s=load.duration_s + GRACE_S)
        return result(load, finished.output, _lines(log), finished.cpu_s, why_unusable(finished))


def whole_seconds(duration_s: float) -> int:
    """Rounds, because h2load accepts only whole seconds."""
    return max(1, math.ceil(duration_s))


def command(load: Load, body: Path, log: Path) -> list[str]:
    headers = [("content-type", "application/grpc"), ("te", "trailers"), *load.request.headers]
    return [
        *("-c", str(load.concurrency), "-m", "1", "-t", "1", "-w", "24", "-W", "26"),
        *("-d", str(body), f"--log-file={log}"),
        *(word for name, value in headers for word in ("-H", f"{name}: {value}")),
        f"{'https' if load.wire == 'grpcs' else 'http'}://{load.endpoint}{load.request.path}",
    ]


def result(load: Load, output: str, log_lines: list[str], cpu_s: float, problem: str | None) -> LoadResult:
    report = parse(output)
    if report is None:
        return LoadResult(client_cpu_s=cpu_s, problem=problem or "h2load printed no report")
    return LoadResult(
        requests=report.succeeded,
        seconds=whole_seconds(load.duration_s),
        failed=report.failed,
        latencies_ms=latencies(parse_log(log_lines)),
        client_cpu_s=cpu_s,
        problem=problem or wrong_size(report, load),
    )


def parse(output: str) -> Report | None:
    finished, requests, traffic = (p.search(output) for p in (_FINISHED, _REQUESTS, _TRAFFIC))
    if not (finished and requests and traffic):
        return None
    _, _, done, succeeded, failed, errored, timeout = map(int, requests.groups())
    seconds = float(finished[1]) * _SECONDS[finished[2]]
    return Report(seconds, done, succeeded, max(failed, errored, timeout), int(traffic[1]))


def wrong_size(report: Report, load: Load) -> str | None:
    """Checks the size. Requests in progress at the end may have received some bytes: at most one answer each."""
    if report.succeeded == 0:
        return "no request was answered"
    if load.answer_bytes is None:
        return None
    least = report.succeeded * load.answer_bytes
    most = (report.succeeded + load.concurrency) * load.answer_bytes
    if least <= report.data_bytes <= most:
        return None
    return f"{report.data_bytes} bytes came back for {report.succeeded} answers of {load.answer_bytes} bytes"


def parse_log(lines: list[str]) -> list[float]:
    """Returns milliseconds per answered request from lines ``start in us, HTTP status, duration in us``."""
    fields = (line.split("\t") for line in lines)
    return [int(line[2]) / 1000 for line in fields if len(line) >= 3 and line[1] == "200"]


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
