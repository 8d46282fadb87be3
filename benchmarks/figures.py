"""Computes the figures that stoker is held to, with their bars and aims, from a run's records. Pure.

P1 to P12 and REST are ratios to TorchServe in the same run, on/off is a ratio of stoker to itself.  A ratio is taken
within
each round; the median counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.records import Findings, Pick, cpu, extra, p50, rate
from stoker.bench.forward import NAME as LOOP
from stoker.bench.spread import Spread, short, slope

OURS, THEIRS, BARE = "stoker-nghttp2", "torchserve", "bare-grpc-aio"


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
    """``most``: the ratio has an upper bound (latency, memory); else a lower one (throughput)."""

    name: str
    what: str
    point: str
    pick: Pick
    bar: float
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
            self.aim_text or (self.bound(self.aim) if self.aim is not None else ""),
            verdict(ratio, self.bar, self.aim, most=self.most),
        )

    def bound(self, value: float) -> str:
        return f"at most {value:g} x" if self.most else f"{value:g} x"


def with_unit(spread: Spread | None, unit: str) -> str:
    return f"{short(spread.median)} {unit}" if spread else "-"


def verdict(ratio: Spread | None, bar: float, aim: float | None, *, most: bool) -> str:
    if ratio is None:
        return "not measured"
    if aim is not None and reaches(ratio.median, aim, most=most):
        return "aim reached"
    return "bar reached" if reaches(ratio.median, bar, most=most) else "missed"


def reaches(value: float, bound: float, *, most: bool) -> bool:
    return value <= bound if most else value >= bound


FIGURES: tuple[Figure, ...] = (
    Figure(name="P1", what="batch size 1, 1 KiB, c=64", point="a 1KiB c=64", pick=rate, bar=6, aim=10, unit="/s"),
    Figure(name="P2", what="batch size 1, 1 KiB, c=16", point="a 1KiB c=16", pick=rate, bar=5, aim=8, unit="/s"),
    Figure(name="P2b", what="batch size 16, 5 ms, c=16", point="b c=16", pick=rate, bar=1.8, aim=3, unit="/s"),
    Figure(name="P2b", what="batch size 16, 5 ms, c=64", point="b c=64", pick=rate, bar=1.5, aim=2.5, unit="/s"),
    Figure(name="P3", what="1 KiB, c=1, p50", point="a 1KiB c=1", pick=p50, bar=0.6, aim=0.4, unit="ms", most=True),
    Figure(
        name="P4",
        what="server CPU per request, as P1",
        point="a 1KiB c=64",
        pick=cpu,
        bar=0.18,
        aim=0.1,
        unit="us",
        most=True,
    ),
    Figure(name="P5", what="150 KiB, c=16", point="a 150KiB c=16", pick=rate, bar=1.8, aim=3, unit="/s"),
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
        bar=2,
        aim=4,
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
        name="REST",
        what="REST, batch size 1, 1 KiB, c=64",
        point="i 1KiB c=64",
        pick=rate,
        bar=6,
        aim=10,
        unit="/s",
        ours="stoker-rest",
        against="torchserve-rest",
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


def rows(findings: Findings) -> list[Row]:
    """Returns all figures, sorted by name."""
    found = [figure.row(findings) for figure in FIGURES]
    place = next(index for index, row in enumerate(found) if row.name == "P7")
    return [*found[:place], slope_row(findings), *found[place:]]


def slope_row(findings: Findings, bar: float = 1.5, aim: float = 0.6) -> Row:
    """Computes P6b, which is absolute: milliseconds per megabyte from 10 to 50 MB."""
    ours, theirs = (Spread.of(slopes(findings, name)) for name in (OURS, THEIRS))
    judged = verdict(ours, bar, aim, most=True)
    ours_text, theirs_text = (with_unit(spread, "ms/MB") for spread in (ours, theirs))
    ratio = Spread.of(paired(slopes(findings, OURS), slopes(findings, THEIRS)))
    bar_text, aim_text = (f"at most {bound:g} ms/MB" for bound in (bar, aim))
    return Row("P6b", "payload slope, 10 to 50 MB", ours_text, theirs_text, ratio, bar_text, aim_text, judged)


def slopes(findings: Findings, contender: str) -> list[float]:
    small, large = (findings.values(f"f {size}MB", contender, p50) for size in (10, 50))
    return [slope([(10, small[turn]), (50, large[turn])]) for turn in sorted(small.keys() & large.keys())]


def paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    if len(ours) != len(theirs):
        return []
    return [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
