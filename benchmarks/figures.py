"""Computes the figures that stoker is held to, with their bars and aims, from a run's records. Pure.

A figure is a ratio to TorchServe of the same run, or to what its row names: a bare server, stoker with other settings,
a budget. It is taken within each round; the median counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.records import Findings, Pick, cpu, extra, p50, p99, rate
from stoker.bench.contender import SPOKEN, Wire
from stoker.bench.forward import NAME as LOOP
from stoker.bench.spread import Spread, ratios, short

OURS, THEIRS, BARE, LIMIT = "stoker-nghttp2", "torchserve", "bare-grpc-aio", "bare-ngh2"
PLACED = "stoker-ray"
REST, WORKFLOW = "stoker-rest", "stoker-workflow"
CONTINUOUS = "stoker-continuous"
BOMBED = "stoker-bombed"
BUDGET_MIB = 256
"""Budgets of incomplete requests and of unread answers, each, by default."""


@dataclass(frozen=True)
class Row:
    """``verdict``: ``aim``, ``bar``, ``missed``, or why there is none."""

    name: str
    what: str
    ours: str
    theirs: str
    ratio: Spread | None
    bar: str
    aim: str
    verdict: str

    def cells(self) -> list[str]:
        ratio = self.ratio.text() if self.ratio else "-"
        return [self.name, self.what, self.ours, self.theirs, ratio, self.bar, self.aim, self.verdict]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """``most``: the ratio has an upper bound (latency, memory); else a lower one (throughput). ``bar``: None for a
    figure that has an aim only.
    """

    name: str
    what: str
    point: str
    pick: Pick
    bar: float | None
    aim: float | None
    unit: str
    most: bool = False
    ours: str = OURS
    against: str = THEIRS
    aim_text: str | None = None

    def row(self, findings: Findings) -> Row:
        ours = findings.spread(self.point, self.ours, self.pick)
        theirs = findings.spread(self.point, self.against, self.pick)
        ratio = findings.ratio(self.point, self.ours, self.against, self.pick)
        return Row(
            self.name,
            self.what,
            with_unit(ours, self.unit),
            with_unit(theirs, self.unit),
            ratio,
            self.bound(self.bar),
            self.aim_text or self.bound(self.aim),
            verdict(ratio, self.bar, self.aim, most=self.most),
        )

    def bound(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"at most {value:g} x" if self.most else f"{value:g} x"


def with_unit(spread: Spread | None, unit: str) -> str:
    return f"{short(spread.median)} {unit}" if spread else "-"


def verdict(ratio: Spread | None, bar: float | None, aim: float | None, *, most: bool) -> str:
    if ratio is None:
        return "not measured"
    if aim is not None and reaches(ratio.median, aim, most=most):
        return "aim reached"
    if bar is None:
        return "aim missed"
    return "bar reached" if reaches(ratio.median, bar, most=most) else "missed"


def reaches(value: float, bound: float, *, most: bool) -> bool:
    return value <= bound if most else value >= bound


FIGURES: tuple[Figure, ...] = (
    Figure(name="P1", what="batch size 1, 1 KiB, c=64", point="a 1KiB c=64", pick=rate, bar=12, aim=18, unit="/s"),
    Figure(name="P2", what="batch size 1, 1 KiB, c=16", point="a 1KiB c=16", pick=rate, bar=9, aim=12, unit="/s"),
    Figure(name="P2b", what="batch size 16, 5 ms, c=16", point="b c=16", pick=rate, bar=2, aim=3.5, unit="/s"),
    Figure(name="P2b", what="batch size 16, 5 ms, c=64", point="b c=64", pick=rate, bar=2.2, aim=4, unit="/s"),
    Figure(name="P3", what="1 KiB, c=1, p50", point="a 1KiB c=1", pick=p50, bar=0.25, aim=0.18, unit="ms", most=True),
    Figure(
        name="P3",
        what="1 KiB, c=1, p50, against bare grpc.aio",
        point="a 1KiB c=1",
        pick=p50,
        bar=1,
        aim=None,
        unit="ms",
        most=True,
        against=BARE,
    ),
    Figure(
        name="P3",
        what="REST, 1 KiB, c=1, p50, against mosec",
        point="i 1KiB c=1",
        pick=p50,
        bar=1,
        aim=None,
        unit="ms",
        most=True,
        ours=REST,
        against="mosec",
    ),
    Figure(
        name="P4",
        what="CPU per request of server and worker, as P1",
        point="a 1KiB c=64",
        pick=cpu,
        bar=0.07,
        aim=0.04,
        unit="us",
        most=True,
    ),
    Figure(name="P5", what="150 KiB, c=16", point="a 150KiB c=16", pick=rate, bar=2.4, aim=4, unit="/s"),
    Figure(
        name="P6",
        what="lone client, batch size 16, 100 ms, p50",
        point="b lone 100ms",
        pick=p50,
        bar=0.02,
        aim=0.01,
        unit="ms",
        most=True,
    ),
    Figure(
        name="P7",
        what="4 streams of 1,000 parts",
        point="e 4 streams",
        pick=lambda m: m.rate * 1000,
        bar=3.5,
        aim=6,
        unit="parts/s",
    ),
    Figure(
        name="P8",
        what="start-up to first answer",
        point="g start",
        pick=extra("start_s"),
        bar=0.5,
        aim=0.25,
        unit="s",
        most=True,
    ),
    Figure(
        name="P9",
        what="scale-up from 2 to 3 workers, torch model",
        point="g scale 2 to 3",
        pick=extra("scale_s"),
        bar=0.2,
        aim=0.05,
        unit="s",
        most=True,
    ),
    Figure(
        name="P10",
        what="PSS with one no-op worker, idle",
        point="g start",
        pick=extra("pss_idle_mib"),
        bar=0.35,
        aim=0.25,
        unit="MiB",
        most=True,
    ),
    Figure(
        name="P10",
        what="PSS with one no-op worker, after load",
        point="g start",
        pick=extra("pss_after_mib"),
        bar=0.35,
        aim=0.25,
        unit="MiB",
        most=True,
    ),
    Figure(
        name="P11",
        what="PSS per extra worker, SmolLM2, shareWeights",
        point="g memory text",
        pick=extra("pss_extra_mib"),
        bar=0.3,
        aim=None,
        unit="MiB",
        most=True,
        aim_text="weights once",
    ),
    Figure(
        name="P11",
        what="PSS per extra worker, EfficientNet-Lite0",
        point="g memory vision",
        pick=extra("pss_extra_mib"),
        bar=0.8,
        aim=None,
        unit="MiB",
        most=True,
    ),
    Figure(
        name="P12",
        what="EfficientNet-Lite0, c=4, against the bare loop",
        point="c c=4",
        pick=rate,
        bar=0.95,
        aim=0.98,
        unit="/s",
        against=LOOP,
    ),
    Figure(
        name="P12",
        what="SmolLM2, 1 stream, against the bare loop",
        point="d 1 stream",
        pick=rate,
        bar=0.95,
        aim=0.98,
        unit="parts/s",
        against=LOOP,
    ),
    Figure(
        name="D8",
        what="SmolLM2, 8 streams, batched continuously",
        point="d 8 streams",
        pick=rate,
        bar=1.5,
        aim=1.8,
        unit="parts/s",
        ours=CONTINUOUS,
    ),
    Figure(
        name="REST",
        what="REST, batch size 1, 1 KiB, c=64",
        point="i 1KiB c=64",
        pick=rate,
        bar=10,
        aim=16,
        unit="/s",
        ours=REST,
        against="torchserve-rest",
    ),
    Figure(
        name="L",
        what="1 KiB, c=64, against the bare ngh2 echo",
        point="a 1KiB c=64",
        pick=rate,
        bar=None,
        aim=0.25,
        unit="/s",
        against=LIMIT,
    ),
    Figure(
        name="T1",
        what="TLS, 1 KiB, c=64, connections kept",
        point="k kept c=64",
        pick=rate,
        bar=7,
        aim=12,
        unit="/s",
        ours="stoker-tls",
        against="torchserve-tls",
    ),
    Figure(
        name="T2",
        what="TLS, 1 KiB, c=16, a new connection a request",
        point="k new c=16",
        pick=rate,
        bar=1,
        aim=3,
        unit="/s",
        ours="stoker-tls",
        against="torchserve-tls",
    ),
    Figure(
        name="T3",
        what="listener on 0.0.0.0 against loopback, as P1",
        point="l 1KiB c=64",
        pick=rate,
        bar=0.97,
        aim=1,
        unit="/s",
        ours="stoker-public",
        against=OURS,
    ),
    Figure(
        name="O1",
        what="CPU per request of the open inference protocol, raw contents, 1 KiB, c=16, against Predictions",
        point="o 1KiB c=16",
        pick=cpu,
        bar=1.15,
        aim=1.05,
        unit="us",
        most=True,
        ours="stoker-open-inference",
        against="stoker-predictions",
    ),
    Figure(
        name="O2",
        what="open inference protocol over gRPC, raw contents, 1 KiB, c=16, against MLServer",
        point="o 1KiB c=16",
        pick=rate,
        bar=1,
        aim=None,
        unit="/s",
        ours="stoker-open-inference",
        against="mlserver-raw",
    ),
    Figure(
        name="R1",
        what="worker on a Ray cluster against a local one, 1 KiB, c=64",
        point="p 1KiB c=64",
        pick=rate,
        bar=0.8,
        aim=0.95,
        unit="/s",
        ours=PLACED,
        against=OURS,
    ),
    Figure(
        name="R3",
        what="worker on a Ray cluster against Ray Serve over gRPC, 1 KiB, c=64",
        point="p 1KiB c=64",
        pick=rate,
        bar=10,
        aim=None,
        unit="/s",
        ours=PLACED,
        against="ray-serve",
    ),
    Figure(
        name="R4",
        what="EfficientNet-Lite0, 2 workers on a Ray cluster against 2 local ones, c=4",
        point="p vision c=4",
        pick=rate,
        bar=0.97,
        aim=1,
        unit="/s",
        ours=PLACED,
        against=OURS,
    ),
    Figure(
        name="on/off",
        what="metrics, access log and console on against off, as P1",
        point="j 1KiB c=64",
        pick=rate,
        bar=0.93,
        aim=0.98,
        unit="/s",
        ours="stoker-observed",
        against="stoker-unobserved",
    ),
    Figure(
        name="-",
        what="1 KiB, c=64, against bare grpc.aio",
        point="a 1KiB c=64",
        pick=rate,
        bar=2,
        aim=None,
        unit="/s",
        against=BARE,
    ),
)


CROWDS = (
    ("m idle", "idle connections (10,000 where open files allow)", 2 * BUDGET_MIB),
    ("m half sent", "1,000 clients that send half of 6 MB", BUDGET_MIB),
    ("m unread", "1,000 clients that do not read 6 MB", BUDGET_MIB),
)
"""Idle connections have no budget of their own, so they are compared with the sum of both."""


def rows(findings: Findings) -> list[Row]:
    """Returns all figures, sorted by name."""
    found = [figure.row(findings) for figure in FIGURES]
    place = next(index for index, row in enumerate(found) if row.name == "P7")
    crowds = [crowd_row(findings, wire, *crowd) for crowd in CROWDS for wire in SPOKEN]
    remote = [placed_latency_row(findings), recovery_row(findings)]
    bombed = [bomb_row(findings, protocol) for protocol in ("gRPC", "REST")]
    more = [*crowds, workflow_row(findings), *remote, *bombed]
    return [*found[:place], slope_row(findings), *found[place:-2], *more, *found[-2:]]


def slope_row(findings: Findings, bar: float = 0.6, aim: float = 0.4) -> Row:
    """Computes P6b: milliseconds per megabyte from 10 to 50 MB, against a bare server without workers."""
    ours, theirs = slopes(findings, OURS), slopes(findings, BARE)
    ratio = Spread.of(ratios(ours, theirs))
    ours_text, theirs_text = (with_unit(Spread.of(list(found.values())), "ms/MB") for found in (ours, theirs))
    what = "payload slope, 10 to 50 MB, against bare grpc.aio"
    bar_text, aim_text = (f"at most {bound:g} x" for bound in (bar, aim))
    return Row("P6b", what, ours_text, theirs_text, ratio, bar_text, aim_text, verdict(ratio, bar, aim, most=True))


def slopes(findings: Findings, contender: str) -> dict[int, float]:
    small, large = (findings.values(f"f {size}MB", contender, p50) for size in (10, 50))
    both = sorted(small.keys() & large.keys())
    return {turn: slope([(10, small[turn]), (50, large[turn])]) for turn in both}


def workflow_row(findings: Findings, bar: float = 1.0, aim: float = 0.7) -> Row:
    """Computes W1: the latency of a workflow of two functions, against two calls one after the other."""
    point, what = "n workflow c=1", "workflow of two functions, 1 KiB, c=1, p50, against two calls"
    workflow, calls = (findings.spread(point, WORKFLOW, pick) for pick in (p50, extra("calls_p50_ms")))
    ratio = findings.spread(point, WORKFLOW, extra("workflow_share"))
    bar_text, aim_text = (f"at most {bound:g} x" for bound in (bar, aim))
    ours, theirs = with_unit(workflow, "ms"), with_unit(calls, "ms")
    return Row("W1", what, ours, theirs, ratio, bar_text, aim_text, verdict(ratio, bar, aim, most=True))


def placed_latency_row(findings: Findings, bar_ms: float = 0.15) -> Row:
    """Computes R2: how many milliseconds a lone request takes longer when its worker is on a Ray cluster."""
    point, what = "p 1KiB c=1", "worker on a Ray cluster, 1 KiB, c=1, p50, beyond a local one"
    ours, theirs = findings.values(point, PLACED, p50), findings.values(point, OURS, p50)
    more = Spread.of([ours[turn] - theirs[turn] for turn in sorted(ours.keys() & theirs.keys())])
    placed, local = (with_unit(findings.spread(point, name, p50), "ms") for name in (PLACED, OURS))
    return Row("R2", what, placed, local, more, f"at most {bar_ms:g} ms", "", verdict(more, bar_ms, None, most=True))


def recovery_row(findings: Findings, bar_s: float = 3.0) -> Row:
    """Computes R5: seconds until the worker of a node that died is answered for by another."""
    took = findings.spread("p node dies", "stoker-ray-nodes", extra("recovery_s"))
    what, ours = "answered again after the death of the only worker's node", with_unit(took, "s")
    return Row("R5", what, ours, "-", took, f"at most {bar_s:g} s", "", verdict(took, bar_s, None, most=True))


def bomb_row(findings: Findings, protocol: str, bar_ms: float = 50.0) -> Row:
    """Computes B1: a neighbour's p99 beside bombs over ``protocol``; the other figure is its p99 alone."""
    beside, alone = (findings.spread(f"q {point}", BOMBED, p99) for point in (protocol, "alone"))
    what = f"p99 of 200 small gRPC calls a second, beside messages of 1 MB that would unpack to 1 GB, {protocol}"
    ours, theirs = with_unit(beside, "ms"), with_unit(alone, "ms alone")
    return Row("B1", what, ours, theirs, beside, f"at most {bar_ms:g} ms", "", verdict(beside, bar_ms, None, most=True))


def crowd_row(findings: Findings, wire: Wire, point: str, what: str, budget_mib: float) -> Row:
    """Computes M1: the largest growth of memory, against the allowed one."""
    crowded = f"stoker-crowded-{wire}"
    grown = findings.spread(point, crowded, extra("pss_growth_mib"))
    ratio = findings.spread(point, crowded, lambda measured: extra("pss_growth_mib")(measured) / budget_mib)
    ours, budget = with_unit(grown, "MiB"), f"budget {budget_mib:g} MiB"
    what = f"PSS, {what}, {SPOKEN[wire]}"
    return Row("M1", what, ours, budget, ratio, "at most 1 x", "", verdict(ratio, 1, None, most=True))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Rise per unit of x between the first and the last point (P6b: milliseconds per megabyte)."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    return (y1 - y0) / (x1 - x0)
