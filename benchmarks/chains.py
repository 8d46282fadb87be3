"""A workflow of two functions beside two calls, one after the other, of the same functions on the same server.

The two take turns request by request, so that the machine's slow moments count for both.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field, replace

from benchmarks.points import OVERHEAD_S, Turn
from benchmarks.workspace import Options
from stoker.bench.checking import Probe
from stoker.bench.loads import LoadResult
from stoker.bench.measure import Measured, watched
from stoker.bench.processes import own_cpu_seconds
from stoker.bench.spread import latencies
from stoker.client import CallError, Client, Endpoint

FIRST, SECOND = "first", "second"
CALL_S = 30.0


@dataclass
class Seen:
    """Milliseconds of each request."""

    workflow_ms: list[float] = field(default_factory=list)
    calls_ms: list[float] = field(default_factory=list)
    wrong: int = 0


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Measures one client that asks a workflow, then its two nodes, and so on. The rate is that of the workflow."""

    name: str
    probe: Probe
    for_peers: bool = True
    grpc_only: bool = True

    def seconds(self, options: Options) -> float:
        return 2 * options.duration_s + OVERHEAD_S

    def measure(self, turn: Turn) -> Measured:
        seen = Seen()
        generate = functools.partial(self._generate, turn, seen)
        measured = watched(turn.running, turn.checker(self.probe), generate, aside=False)
        if measured.problem or not seen.calls_ms:
            return measured
        calls = latencies(seen.calls_ms)["p50"]
        more = {"calls_p50_ms": calls, "workflow_share": measured.latencies_ms["p50"] / calls}
        return replace(measured, more=more)

    def _generate(self, turn: Turn, seen: Seen) -> LoadResult:
        payload, workflow = self.probe.payload(0), turn.model.name
        nodes = [f"{workflow}__{node}" for node in (FIRST, SECOND)]
        cpu, began = own_cpu_seconds(), time.perf_counter()
        problem = None
        with Client(Endpoint(inference=turn.running.endpoint)) as client:
            try:
                while time.perf_counter() - began < 2 * turn.options.duration_s:
                    self._both(client, workflow, nodes, payload, seen)
            except CallError as error:
                problem = str(error)[:120]
        if seen.wrong:
            problem = f"{seen.wrong} answers were wrong"
        return LoadResult(
            requests=len(seen.workflow_ms),
            seconds=sum(seen.workflow_ms) / 1000,
            failed=seen.wrong,
            latencies_ms=latencies(seen.workflow_ms),
            client_cpu_s=own_cpu_seconds() - cpu,
            problem=problem,
        )

    def _both(self, client: Client, workflow: str, nodes: list[str], payload: bytes, seen: Seen) -> None:
        began = time.perf_counter()
        whole = client.predict(workflow, payload, timeout=CALL_S).data
        between = time.perf_counter()
        inner = client.predict(nodes[0], payload, timeout=CALL_S).data
        outer = client.predict(nodes[1], inner, timeout=CALL_S).data
        ended = time.perf_counter()
        seen.workflow_ms.append((between - began) * 1000)
        seen.calls_ms.append((ended - between) * 1000)
        seen.wrong += not (self.probe.check(payload, [whole]) and whole == outer)
