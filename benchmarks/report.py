"""Turns a run's records into a Markdown report and an SVG picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import figures
from benchmarks.picture import Panel, draw
from benchmarks.records import Findings, Pick, cpu, extra, p50, p99, rate
from stoker.bench.forward import NAME as LOOP
from stoker.bench.spread import Spread

FIGURE_HEAD = ["figure", "what", "stoker", "other", "ratio", "bar", "aim", "result"]
LIFE = {
    "start_s": "first answer, s",
    "pss_idle_mib": "PSS idle, MiB",
    "pss_before_mib": "PSS before, MiB",
    "pss_during_mib": "PSS during, at most, MiB",
    "pss_after_mib": "PSS after, MiB",
    "scale_s": "scale-up, s",
    "pss_1_mib": "PSS 1 worker, MiB",
    "pss_3_mib": "PSS 3 workers, MiB",
    "pss_8_mib": "PSS 8 workers, MiB",
    "pss_extra_mib": "PSS per extra worker, MiB",
    "rate_before": "rate before, /s",
    "kept": "rate after / before",
    "clients": "clients",
    "clients_kept": "clients still connected",
    "kib_each": "PSS growth per client, KiB",
    "sent_mib": "sent by the clients, MiB",
    "bombs_per_s": "bombs refused, /s",
    "recovery_s": "answered again after a node's death, s",
}
CURVES = (("a 1KiB c=", "1 KiB"), ("a 150KiB c=", "150 KiB"))


def markdown(findings: Findings, *, picture: str) -> str:
    sections = [
        "# Side by side",
        machine_text(findings),
        core_text(findings),
        f"![Throughput and latency against concurrency]({picture})",
        "## Figures\n\nRatios within each round, to TorchServe unless said otherwise: median (least-greatest).",
        table(FIGURE_HEAD, [row.cells() for row in figures.rows(findings)]),
        "## Requests per second\n\nMedian (least-greatest). For (d) parts per second, for (e) streams of 1,000 parts.",
        by_contender(findings, rate, lambda point: not point.startswith(("f ", "g ", "m "))),
        "## Latency, p50 in ms\n\nFor (d) the time to the first part. `500/s`: open loop, Poisson arrivals.",
        by_contender(findings, p50, lambda point: not point.startswith(("g ", "m "))),
        "## Latency, p99 in ms",
        by_contender(findings, p99, lambda point: point[0] in "abchijklnpq"),
        "## CPU time of the server per request, in microseconds",
        by_contender(findings, cpu, lambda point: not point.startswith(("g ", "m "))),
        "## CPU cores that the load generator used",
        by_contender(findings, lambda m: m.client_cores, lambda point: point[0] in "abcefijklp"),
        "## Start-up, memory, scale-up, clients that leave or hold memory",
        life_table(findings),
        "## Who took part",
        contender_list(findings),
        notes(findings),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def machine_text(findings: Findings) -> str:
    machine, options = findings.machine, findings.options
    kind = " A quick run: one round shows whether things work, not how fast they are." if options["quick"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}, Python "
        f"{machine['python']}, Java {machine['java']}. {options['rounds']} rounds of {options['duration_s']:g} s "
        "(more where a ratio is close to 1), contenders alternating, load generators on the same cores. "
        f"It took {options.get('took_s', 0) / 60:.0f} minutes.{kind}"
    )


def core_text(findings: Findings) -> str:
    times = [record.core_ms for record in findings.records if record.core_ms]
    shortest = min(times, default=0.0)
    spread = Spread.of([time / shortest for time in times])
    if spread is None or spread.count == 1:
        return ""
    return (
        f"A fixed piece of work, timed on each core before and after each measurement, took {spread.text()} times the "
        f"shortest time of the run, {shortest:.2f} ms: means over the cores, median (least-greatest) of {spread.count} "
        "measurements. A core of a virtual machine takes longer while another guest shares it; the "
        "figures of one server move with it, ratios within one round suffer less."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def by_contender(findings: Findings, pick: Pick, wanted: Callable[[str], bool]) -> str:
    """Makes a row per point and a column per contender. ``wanted``: tells by its name whether a point belongs here."""
    names = findings.contenders()
    rows = []
    for point in filter(wanted, findings.points()):
        cells = [cell(findings, point, name, pick) for name in names]
        if any(text not in ("", "-") for text in cells):
            rows.append([point, *cells])
    return table(["", *names], rows) if rows else "Not measured."


def cell(findings: Findings, point: str, contender: str, pick: Pick) -> str:
    """Formats a measurement; ``-``: not offered or not requested; failures are shown, even beside good rounds."""
    spread = findings.spread(point, contender, pick)
    failed = len(findings.problems(point, contender))
    if spread is None:
        return f"FAILED ({failed})" if failed else "-"
    if spread.high == 0:
        return "-"
    return spread.text() + (f" FAILED {failed} of {failed + spread.count}" if failed else "")


def life_table(findings: Findings) -> str:
    rows = []
    names = findings.contenders()
    for point in (point for point in findings.points() if point[0] in "ghmpq"):
        for key, title in LIFE.items():
            cells = [cell(findings, point, name, extra(key)) for name in names]
            if any(text[0].isdigit() for text in cells):
                rows.append([point, title, *cells])
    return table(["", "", *names], rows) if rows else "Not measured."


def contender_list(findings: Findings) -> str:
    lines = [f"- {name} {findings.versions[name]}: {note}" for name, note in findings.configured.items()]
    lines += [f"- {name}: ABSENT. {why}" for name, why in findings.absent.items()]
    if LOOP in findings.contenders():
        lines.append(f"- {LOOP}: the handler called again and again in one process with one thread, without any server")
    return "\n".join(lines)


def notes(findings: Findings) -> str:
    return "## Notes\n\n" + "\n".join(f"- {note}" for note in findings.notes) if findings.notes else ""


# ---------------------------------------------------------------------------------------------------- the picture


def picture(findings: Findings) -> str:
    panels = []
    for prefix, size in CURVES:
        for pick, what, unit in ((rate, "throughput", "requests/s"), (p50, "p50", "ms"), (p99, "p99", "ms")):
            panels.append(Panel(f"{size}: {what}", unit, curves(findings, prefix, pick)))
    shown = [panel for panel in panels if panel.lines]
    machine = f"{findings.machine['cpu']}, {findings.machine['cores']} cores"
    return draw(shown, title=f"No-op handler, batch size 1: {machine}")


def curves(findings: Findings, prefix: str, pick: Pick) -> dict[str, dict[int, Spread]]:
    found: dict[str, dict[int, Spread]] = {}
    for name in findings.contenders():
        line = {
            int(point.removeprefix(prefix)): spread
            for point in findings.points()
            if point.startswith(prefix) and (spread := findings.spread(point, name, pick))
        }
        if line:
            found[name] = line
    return found
