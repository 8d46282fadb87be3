"""Figures that are not the ratio of one value of two contenders: slopes, differences, times and budgets. PURE."""

from __future__ import annotations

from benchmarks.records import Findings, extra, p50, p99
from benchmarks.verdicts import OURS, Row, at_most, with_unit
from benchmarks.workload import SPOKEN
from stoker.bench.contender import Wire
from stoker.bench.spread import Spread, ratios

BARE = "bare-grpc-aio"
PLACED = "stoker-ray"
BUDGET_MIB = 256
"""Budgets of incomplete requests and of unread answers, each, by default."""
CROWDS = (
    ("m idle", "idle connections (10,000 where open files allow)", 2 * BUDGET_MIB),
    ("m half sent", "1,000 clients that send half of 6 MB", BUDGET_MIB),
    ("m unread", "1,000 clients that do not read 6 MB", BUDGET_MIB),
)
"""Idle connections have no budget of their own, so they are compared with the sum of both."""


def payload_slope(findings: Findings) -> list[Row]:
    """Computes P6b: milliseconds per megabyte from 10 to 50 MB, against a bare server without workers."""
    ours, theirs = slopes(findings, OURS), slopes(findings, BARE)
    ratio = Spread.of(ratios(ours, theirs))
    ours_text, theirs_text = (with_unit(Spread.of(list(found.values())), "ms/MB") for found in (ours, theirs))
    what = "payload slope, 10 to 50 MB, against bare grpc.aio"
    return [at_most("P6b", what, ours_text, theirs_text, ratio, bar=0.6, aim=0.4)]


def slopes(findings: Findings, contender: str) -> dict[int, float]:
    """Returns milliseconds per megabyte by round."""
    small, large = (findings.values(f"f {size}MB", contender, p50) for size in (10, 50))
    return {turn: (large[turn] - small[turn]) / (50 - 10) for turn in sorted(small.keys() & large.keys())}


def workflow(findings: Findings) -> list[Row]:
    """Computes W1: the latency of a workflow of two functions, against two calls one after the other."""
    point, what = "n workflow c=1", "workflow of two functions, 1 KiB, c=1, p50, against two calls"
    whole, calls, ratio = (
        findings.spread(point, "stoker-workflow", pick)
        for pick in (p50, extra("calls_p50_ms"), extra("workflow_share"))
    )
    return [at_most("W1", what, with_unit(whole, "ms"), with_unit(calls, "ms"), ratio, bar=1.0, aim=0.7)]


def placed_latency(findings: Findings) -> list[Row]:
    """Computes R2: how many milliseconds a lone request takes longer when its worker is on a Ray cluster."""
    point, what = "p 1KiB c=1", "worker on a Ray cluster, 1 KiB, c=1, p50, beyond a local one"
    placed, local = findings.values(point, PLACED, p50), findings.values(point, OURS, p50)
    more = Spread.of([placed[turn] - local[turn] for turn in sorted(placed.keys() & local.keys())])
    placed_text, local_text = (with_unit(findings.spread(point, name, p50), "ms") for name in (PLACED, OURS))
    return [at_most("R2", what, placed_text, local_text, more, bar=0.15, unit="ms")]


def recovery(findings: Findings) -> list[Row]:
    """Computes R5: seconds until requests are answered again after the node of the only worker has died."""
    took = findings.spread("p node dies", "stoker-ray-nodes", extra("recovery_s"))
    what = "answered again after the death of the only worker's node"
    return [at_most("R5", what, with_unit(took, "s"), "-", took, bar=3.0, unit="s")]


def bombs(findings: Findings) -> list[Row]:
    """Computes B1, by protocol of the bombs: a neighbour's p99 beside them; the other value is its p99 alone."""
    alone = findings.spread("q alone", "stoker-bombed", p99)
    found = []
    for protocol in ("gRPC", "REST"):
        beside = findings.spread(f"q {protocol}", "stoker-bombed", p99)
        what = f"p99 of 200 small gRPC calls a second, beside messages of 1 MB that would unpack to 1 GB, {protocol}"
        beside_text, alone_text = with_unit(beside, "ms"), with_unit(alone, "ms alone")
        found.append(at_most("B1", what, beside_text, alone_text, beside, bar=50.0, unit="ms"))
    return found


def crowds(findings: Findings) -> list[Row]:
    return [crowd(findings, wire, *each) for each in CROWDS for wire in SPOKEN]


def crowd(findings: Findings, wire: Wire, point: str, what: str, budget_mib: float) -> Row:
    """Computes M1: the largest growth of memory, against the allowed one."""
    growth = extra("pss_growth_mib")
    grown = findings.spread(point, f"stoker-crowded-{wire}", growth)
    ratio = findings.spread(point, f"stoker-crowded-{wire}", lambda measured: growth(measured) / budget_mib)
    what, budget = f"PSS, {what}, {SPOKEN[wire]}", f"budget {budget_mib:g} MiB"
    return at_most("M1", what, with_unit(grown, "MiB"), budget, ratio, bar=1.0)
