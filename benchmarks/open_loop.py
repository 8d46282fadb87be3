"""An open-loop load generator over gRPC, as a process of its own: ``python -m benchmarks.open_loop < plan.json``.

Standard input: a JSON object of `Plan`'s fields (bytes in base64). Standard output: one JSON object of figures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import grpc

from benchmarks.arrivals import Sent, generator_lag_ms, latencies_ms, schedule
from benchmarks.generator import run_generator
from stoker.bench.contender import WireRequest
from stoker.bench.loads import LoadResult
from stoker.bench.spread import latencies

CHANNELS = 8
CALL_TIMEOUT_S = 8.0
MAX_LAG_MS = 5.0
"""If the median request leaves later than this, the generator is too busy for its figures to count."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    endpoint: str
    path: str
    body: str
    expected: str
    """The right answer's message."""
    rate: float
    duration_s: float
    seed: int = 1


def run(
    endpoint: str, request: WireRequest, expected: bytes, *, rate: float, duration_s: float, seed: int
) -> LoadResult:
    """Starts the generator as a process and reads its figures."""
    plan = Plan(
        endpoint=endpoint,
        path=request.path,
        body=base64.b64encode(request.body).decode(),
        expected=base64.b64encode(expected).decode(),
        rate=rate,
        duration_s=duration_s,
        seed=seed,
    )
    return result(*run_generator("open_loop", plan, timeout_s=duration_s + CALL_TIMEOUT_S), duration_s)


def result(figures: dict[str, Any], cpu_s: float, problem: str | None, duration_s: float) -> LoadResult:
    lag = figures.get("lag_ms", 0.0)
    if problem is None and lag > MAX_LAG_MS:
        problem = f"the load generator was {lag:.1f} ms behind its plan"
    if problem is None and figures["failed"]:
        problem = f"{figures['failed']} requests failed: {figures['why']}"
    return LoadResult(
        requests=figures.get("answered", 0),
        seconds=duration_s,
        failed=figures.get("failed", 0),
        latencies_ms=figures.get("latencies_ms", {}),
        client_cpu_s=cpu_s,
        problem=problem,
    )


async def generate(plan: Plan) -> dict[str, Any]:
    """Sends every request at its time; waits for all answers."""
    body, expected = base64.b64decode(plan.body), base64.b64decode(plan.expected)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(plan.endpoint, options=options) for _ in range(CHANNELS)]
    calls = [channel.unary_unary(plan.path) for channel in channels]
    await asyncio.gather(*(call(body, timeout=CALL_TIMEOUT_S) for call in calls))  # connects
    why: list[str] = []
    start = time.perf_counter()

    async def send(number: int, planned: float) -> Sent:
        sent = time.perf_counter() - start
        try:
            ok = await calls[number % CHANNELS](body, timeout=CALL_TIMEOUT_S) == expected
        except grpc.aio.AioRpcError as error:
            why.append(error.code().name)
            ok = False
        return Sent(planned, sent, time.perf_counter() - start, ok)

    under_way = []
    for number, planned in enumerate(schedule(plan.rate, plan.duration_s, plan.seed)):
        await asyncio.sleep(max(0.0, planned - (time.perf_counter() - start)))
        under_way.append(asyncio.create_task(send(number, planned)))
    done = await asyncio.gather(*under_way)
    await asyncio.gather(*(channel.close() for channel in channels))
    return figures_of(done, why)


def figures_of(calls: list[Sent], why: list[str]) -> dict[str, Any]:
    times = latencies_ms(calls)
    return {
        "answered": len(times),
        "failed": len(calls) - len(times),
        "why": (why or ["wrong answer"])[0],
        "latencies_ms": latencies(times),
        "lag_ms": generator_lag_ms(calls),
    }


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    json.dump(asyncio.run(generate(plan)), sys.stdout)


if __name__ == "__main__":
    main()
