"""Implements ``stoker simulate``: decisions of the server on simulated load, in no time and without a process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from stoker.cli import output
from stoker.simulation import sweep
from stoker.simulation.sweep import Outcome

app = typer.Typer(no_args_is_help=True, help="Simulate what the server decides, on a virtual clock.")

HEAD = [
    "load", "changes", "most in a minute", "late %", "late % settled", "workers / hindsight", "fixed / hindsight",
    "by law", "problems",
]  # fmt: skip


@app.callback()
def top() -> None:
    """Makes `autoscaling` a subcommand: others may come."""


@app.command()
def autoscaling(
    only: Annotated[str, typer.Option(help="Only loads whose name has this in it.")] = "",
    every: Annotated[int, typer.Option(min=1, help="Only every Nth of them.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many times each load is drawn.")] = 1,
    duration: Annotated[float, typer.Option(min=60, max=86400, help="Seconds of a steady load.")] = 600.0,
    as_json: output.AsJson = False,
) -> None:
    """Try autoscaling on many loads: does it flap, are requests late, how many workers more than hindsight needs?

    264 steady loads (1 to 60 busy workers, independent, regular and clustered requests, service times that are fixed or
    spread) and 11 that change. All of them take about ten minutes of one processor. Exit status 1: the number of
    workers changed more than twice within a minute of a steady load.
    """
    cases = [case for case in sweep.cases(duration_s=duration, seeds=seeds) if only in case.name][::every]
    if not cases:
        output.fail(f"no load has {only!r} in its name; such as: 8 busy, poisson, exponential, batches of 1")
    outcomes = []
    for number, case in enumerate(cases, 1):
        outcomes.append(sweep.measure(case))
        if number % 20 == 0 and not as_json:
            output.note(f"{number} of {len(cases)}")
    if as_json:
        output.echo(json.dumps({"target_s": sweep.TARGET_S, "loads": [fields(outcome) for outcome in outcomes]}))
    else:
        output.table(HEAD, [row(outcome) for outcome in outcomes])
        for line in summary(outcomes):
            output.note(line)
    if any(outcome.flaps for outcome in outcomes):
        raise typer.Exit(1)


def problems(outcome: Outcome) -> list[str]:
    found = {"flaps": outcome.flaps, "late": not outcome.held, "many workers": not outcome.frugal}
    return [name for name, there in found.items() if there]


def row(outcome: Outcome) -> list[str]:
    return [
        outcome.case.name,
        str(outcome.changes),
        str(outcome.most_in_a_minute),
        f"{outcome.late * 100:.1f}",
        f"{outcome.late_settled * 100:.1f}",
        f"{outcome.more_workers:.2f}",
        f"{outcome.more_of_fixed:.2f}" if outcome.case.steady else "-",
        by_law(outcome),
        ", ".join(problems(outcome)) or "-",
    ]


def by_law(outcome: Outcome) -> str:
    """Shows late % and workers / hindsight of the number that is best for loads of this kind."""
    if outcome.by_law is None:
        return "-"
    late, more_workers = outcome.by_law
    return f"{late * 100:.1f}, {more_workers:.2f}" + (" out of reach" if outcome.out_of_reach else "")


def fields(outcome: Outcome) -> dict[str, object]:
    return {
        "load": outcome.case.name,
        "changes": outcome.changes,
        "most_in_a_minute": outcome.most_in_a_minute,
        "late": round(outcome.late, 4),
        "late_settled": round(outcome.late_settled, 4),
        "workers_over_hindsight": round(outcome.more_workers, 3),
        "fixed_over_hindsight": round(outcome.more_of_fixed, 3) if outcome.case.steady else None,
        "by_law": outcome.by_law
        and {
            "late": round(outcome.by_law.late, 4),
            "workers_over_hindsight": round(outcome.by_law.more_workers, 3),
        },
        "out_of_reach": outcome.out_of_reach,
        "problems": problems(outcome),
    }


def summary(outcomes: list[Outcome]) -> Iterator[str]:
    for steady, name in ((True, "steady"), (False, "changing")):
        of = [outcome for outcome in outcomes if outcome.case.steady is steady]
        if of:
            many = [outcome for outcome in of if not outcome.frugal]
            uneven = sum(outcome.uneven for outcome in many)
            yield (
                f"{len(of)} {name} loads: {sum(not problems(outcome) for outcome in of)} without problems, "
                f"{sum(outcome.flaps for outcome in of)} flap, "
                f"{sum(not outcome.held for outcome in of)} late (more than {sweep.LATE:.0%} of the requests wait "
                f"longer than {sweep.TARGET_S:g} s), {len(many)} with more than "
                f"{sweep.MORE_WORKERS:g} times the workers of hindsight, {_mean(of):.2f} times in the mean"
            )
            if uneven:
                yield f"of the {len(many)}, {uneven} where even the fewest that never change are more than that"
            miss = [outcome for outcome in of if problems(outcome)]
            if out_of_reach := sum(outcome.out_of_reach for outcome in miss):
                yield (
                    f"of the {len(miss)} with problems, {out_of_reach} out of reach: the number that is best for "
                    f"loads of this kind, kept throughout, is late or more than {sweep.MORE_WORKERS:g} times, too"
                )


def _mean(outcomes: list[Outcome]) -> float:
    return sum(outcome.more_workers for outcome in outcomes) / len(outcomes)
