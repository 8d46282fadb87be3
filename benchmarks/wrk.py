"""Runs wrk as a closed loop over HTTP/1.1 for peers without gRPC. Our script sends the body and prints the figures."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from stoker.bench.loads import GRACE_S, Load, LoadResult, run_client, why_unusable

_FIGURES = re.compile(r"^FIGURES (.*)$", re.MULTILINE)

_SCRIPT = """\
local file = io.open(BODY_FILE, "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
SET_HEADERS
function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'FIGURES {"requests": %d, "us": %d, "bytes": %d, "status": %d, "socket": %d, "timeout": %d, ' ..
    '"p50": %f, "p90": %f, "p99": %f, "max": %f}',
    summary.requests, summary.duration, summary.bytes, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
"""


def run(load: Load, *, tool: Path) -> LoadResult:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        body, lua = Path(folder, "body"), Path(folder, "load.lua")
        body.write_bytes(load.request.body)
        lua.write_text(script(load, body))
        finished = run_client(command(load, lua, tool), timeout_s=load.duration_s + GRACE_S)
    return result(finished.output, finished.cpu_s, why_unusable(finished))


def command(load: Load, lua: Path, tool: Path) -> list[str]:
    seconds = f"{max(1, round(load.duration_s))}s"  # wrk accepts only whole seconds
    url = f"http://{load.endpoint}{load.request.path}"
    return [str(tool), "-t", "1", "-c", str(load.concurrency), "-d", seconds, "--timeout", "20s", "-s", str(lua), url]


def script(load: Load, body: Path) -> str:
    lines = [f"wrk.headers[{lua_text(name)}] = {lua_text(value)}" for name, value in load.request.headers]
    return _SCRIPT.replace("BODY_FILE", lua_text(str(body))).replace("SET_HEADERS", "\n".join(lines))


def lua_text(text: str) -> str:
    """Quotes a Lua string; every byte that is not plain ASCII as its number."""
    plain = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in text.encode())
    return f'"{plain}"'


def result(output: str, cpu_s: float, problem: str | None) -> LoadResult:
    found = _FIGURES.search(output)
    if found is None:
        return LoadResult(client_cpu_s=cpu_s, problem=problem or "wrk printed no figures")
    figures = json.loads(found[1])
    failed = figures["status"] + figures["socket"] + figures["timeout"]
    answered = figures["requests"] - figures["status"]
    return LoadResult(
        requests=answered,
        seconds=figures["us"] / 1e6,
        failed=failed,
        latencies_ms={name: figures[name] / 1000 for name in ("p50", "p90", "p99", "max")} if answered else {},
        client_cpu_s=cpu_s,
        problem=problem or (None if answered else "no request was answered"),
    )
