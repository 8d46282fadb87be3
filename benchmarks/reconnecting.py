"""A closed loop over gRPC, a new TLS connection for each request: ``python -m benchmarks.reconnecting < plan.json``.

h2load keeps its connections, so this is a client of our own: blocking threads in several processes, a full handshake
each time. It does not check the certificate, to cost less; what it costs is in the table of the generators' cores.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import ngh2

from benchmarks.generator import run_generator
from benchmarks.http2 import Call
from stoker.bench.contender import WireRequest
from stoker.bench.h2load import grpc_frame
from stoker.bench.loads import LoadResult
from stoker.bench.spread import latencies

PROCESSES = 4
TIMEOUT_S = 5.0
STARTING_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``clients``: threads of each process. ``expected``: the whole body of the right answer."""

    endpoint: str
    path: str
    body: str
    expected: str
    clients: int
    duration_s: float


@dataclass
class Seen:
    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run(endpoint: str, request: WireRequest, expected: bytes, *, concurrency: int, duration_s: float) -> LoadResult:
    """Starts the generator as a process and reads its figures."""
    plan = Plan(
        endpoint=endpoint,
        path=request.path,
        body=base64.b64encode(grpc_frame(request.body)).decode(),
        expected=base64.b64encode(grpc_frame(expected)).decode(),
        clients=max(1, concurrency // PROCESSES),
        duration_s=duration_s,
    )
    figures = run_generator("reconnecting", plan, timeout_s=STARTING_S + duration_s + TIMEOUT_S)
    return result(*figures, duration_s)


def result(figures: dict[str, Any], cpu_s: float, problem: str | None, duration_s: float) -> LoadResult:
    times, failures = figures.get("milliseconds", []), figures.get("failures", [])
    if problem is None and failures:
        problem = f"{len(failures)} requests failed: {failures[0]}"
    if problem is None and not times:
        problem = "no request was answered"
    return LoadResult(
        requests=len(times),
        seconds=duration_s,
        failed=len(failures),
        latencies_ms=latencies(times),
        client_cpu_s=cpu_s,
        problem=problem,
    )


def generate(plan: Plan) -> dict[str, Any]:
    """Starts all processes at one instant of the monotonic clock, which they share."""
    begin = time.monotonic() + STARTING_S
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(ask_until, [plan] * PROCESSES, [begin] * PROCESSES))
    return {
        "milliseconds": [time for seen in found for time in seen.milliseconds],
        "failures": [failure for seen in found for failure in seen.failures],
    }


def ask_until(plan: Plan, begin: float) -> Seen:
    seen, context = Seen(), client_context()
    threads = [threading.Thread(target=ask_again, args=(plan, context, begin, seen)) for _ in range(plan.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def ask_again(plan: Plan, context: ssl.SSLContext, begin: float, seen: Seen) -> None:
    """Repeats requests. One that starts in time counts; the others of its thread end with the time."""
    host, _, port = plan.endpoint.rpartition(":")
    body, expected = base64.b64decode(plan.body), base64.b64decode(plan.expected)
    time.sleep(max(0.0, begin - time.monotonic()))
    while (start := time.monotonic()) < begin + plan.duration_s:
        try:
            call = Call(plan.path, body, scheme="https")
            with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with context.wrap_socket(plain) as secure:
                    talk(secure, call)
        except (OSError, ngh2.NGH2Error) as error:
            seen.failures.append(f"{type(error).__name__}: {error}"[:120])
            continue
        if call.status != b"0" or call.answer != expected:
            seen.failures.append(f"grpc-status {call.status!r}, {len(call.answer)} bytes")
        else:
            seen.milliseconds.append((time.monotonic() - start) * 1000)


def talk(secure: ssl.SSLSocket, call: Call) -> None:
    while not call.ended:
        secure.sendall(call.to_send())
        data = secure.recv(1 << 16)
        if not data:
            return
        call.receive(data)


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    json.dump(generate(plan), sys.stdout)


if __name__ == "__main__":
    main()
