"""``scripts/bench``: the side-by-side suite's command line."""

from __future__ import annotations

import argparse
import datetime
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders as registry
from benchmarks import models, plan, report
from benchmarks.records import Findings
from benchmarks.runner import Runner, minutes
from benchmarks.workload import Contender, Workload
from benchmarks.workspace import Options, Workspace
from stoker.bench import machine, tools
from stoker.bench.contender import CannotInstall

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "bench"
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    asked = arguments(sys.argv[1:])
    everyone = registry.everyone(asked.torchserve)
    if asked.list:
        listing(everyone)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: ends everything
    options = Options(rounds=asked.rounds, duration_s=asked.duration, quick=asked.quick)
    workspace = Workspace(HOME, options)
    findings = Findings(machine=machine.describe(), options=vars(options) | {"workloads": asked.workloads})
    began = time.monotonic()
    status = 0
    try:
        run(asked, workspace, findings, chosen(everyone, asked.contenders))
    except KeyboardInterrupt:
        say("stopped; what was measured until now is written")
        status = 130
    except tools.ToolMissing as error:
        say(f"error: {error}")
        return 1
    finally:
        workspace.stop_all()
    findings.options["took_s"] = round(time.monotonic() - began)
    if findings.records:
        write(findings, asked.output)
    return status


def run(asked: argparse.Namespace, workspace: Workspace, findings: Findings, contenders: list[Contender]) -> None:
    for wire in {contender.wire for contender in contenders}:
        workspace.generator(wire)
    ready = installed(contenders, workspace, findings)
    groups = plan.groups(asked.workloads, workspace.options, workspace)
    total = 0.0
    for group in groups:
        seconds = group.estimate_s(ready, workspace.options)
        total += seconds
        names = ", ".join(contender.name for contender in group.participants(ready, workspace.options))
        say(f"    {minutes(seconds):>7}  ({group.letter}) {group.title}: {names}")
    say(f"    {minutes(total):>7}  in all")
    if not asked.plan:
        Runner(workspace, findings, say).run(groups, ready)


def installed(contenders: Sequence[Contender], workspace: Workspace, findings: Findings) -> list[Contender]:
    """Returns contenders that are installed, or can be. The report names the others, with the reason."""
    ready = []
    for contender in contenders:
        home = workspace.venv(contender)
        try:
            contender.install(home, models.REQUIREMENTS)
        except CannotInstall as error:
            findings.absent[contender.name] = str(error)
            say(f"absent: {error}")
            continue
        findings.versions[contender.name] = contender.version(home)
        findings.configured[contender.name] = contender.note
        say(f"{contender.name} {findings.versions[contender.name]} is installed ({contender.wire})")
        ready.append(contender)
    return ready


def chosen(everyone: Sequence[Contender], names: str | None) -> list[Contender]:
    if names is None:
        return list(everyone)
    known = {contender.name: contender for contender in everyone}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"There is no contender {unknown[0]}; there are: {', '.join(known)}")
    return [known[name] for name in wanted]


def write(findings: Findings, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    kind = "-quick" if findings.options["quick"] else ""
    base = output / f"{date}-{short_name(findings.machine)}{kind}"
    findings.save(base.with_suffix(".json"))
    base.with_suffix(".svg").write_text(report.picture(findings), encoding="utf-8")
    text = report.markdown(findings, picture=base.with_suffix(".svg").name)
    base.with_suffix(".md").write_text(text, encoding="utf-8")
    say("")
    say(text)
    say(f"written: {base.name}.json, .svg and .md in {output}")


def listing(everyone: Sequence[Contender]) -> None:
    say("contenders:")
    for contender in everyone:
        letters = "".join(w.value for w in sorted(Workload, key=lambda w: w.value) if contender.offers(w))
        say(f"    {contender.name:<21} {contender.wire:<5}  {letters:<10} {contender.note}")
    say("workloads:")
    for letter, planned in plan.WORKLOADS.items():
        say(f"    {letter}  {planned.title}")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures stoker beside TorchServe and other servers: the same archive and handler, the same load, "
        "every answer checked. Prints the table of ratios; writes raw JSON, the table and a picture.",
        epilog="A full run takes about 70 minutes on 2 cores and wants a quiet machine. Ctrl-C ends every server.",
    )
    add = parser.add_argument
    add("--contenders", metavar="A,B", help="only these (see --list); default: all")
    add("--workloads", default="".join(plan.WORKLOADS), metavar="LETTERS", help="only these (see --list); default: all")
    add("--rounds", type=int, metavar="N", help="alternating rounds (default 5; with --quick 1)")
    add("--duration", type=float, metavar="S", help="seconds per measurement (default 1)")
    add("--quick", action="store_true", help="fewer points, one round: a look that takes 6 minutes")
    add("--output", type=Path, default=RESULTS, metavar="DIR", help="where results go (default benchmarks/results)")
    add("--torchserve", type=Path, metavar="FILE", help="an installed torchserve; default: a venv is made")
    add("--plan", action="store_true", help="install, print the plan and the time it takes, and stop")
    add("--list", action="store_true", help="list contenders and workloads, and stop")
    asked = parser.parse_args(argv)
    asked.workloads = asked.workloads.replace(",", "")
    if not asked.workloads or set(asked.workloads) - set(plan.WORKLOADS):
        parser.error(f"workloads are letters of {''.join(plan.WORKLOADS)}")
    asked.rounds = asked.rounds or (1 if asked.quick else 5)
    asked.duration = asked.duration or 1.0
    if asked.rounds < 1 or not 0.5 <= asked.duration <= 60:
        parser.error("rounds must be at least 1, the duration 0.5 to 60 seconds")
    return asked


def say(text: str) -> None:
    print(text, flush=True)


def short_name(machine: dict[str, str]) -> str:
    """Returns a name for files: ``amd-epyc-2-cores``."""
    words = re.sub(r"\(.*?\)|@.*$|\b(?:processor|cpu)\b", " ", machine["cpu"].lower())
    plain = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return f"{plain}-{machine['cores']}-cores"


if __name__ == "__main__":
    sys.exit(main())
