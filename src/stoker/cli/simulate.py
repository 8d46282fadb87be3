"""Implements ``stoker simulate``: the decisions of the server under simulated load, on a virtual clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from stoker.cli import output
from stoker.simulation import sweep
from stoker.simulation.sweep import Outcome

app = typer.Typer(no_args_is_help=True, help="Simulate the server's decisions on a virtual clock.")

HEAD = [
    "load", "changes", "most in a minute", "late %", "late % settled", "workers / hindsight", "fixed / hindsight",
    "best for its kind", "problems",
]  # fmt: skip


@app.callback()
def top() -> None:
    """Exists only so that `autoscaling` is a subcommand."""


@app.command()
def autoscaling(
    only: Annotated[str, typer.Option(help="Only loads whose name contains this.")] = "",
    every: Annotated[int, typer.Option(min=1, help="Only every Nth load.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many times to draw each load at random.")] = 1,
    duration: Annotated[float, typer.Option(min=60, max=86400, help="Seconds that a steady load lasts.")] = 600.0,
    as_json: output.AsJson = False,
) -> None:
    """Try autoscaling on many loads: does it flap, are requests late, how many more workers than hindsight needs?

    Runs 264 steady loads and 11 that change, in about ten minutes on one processor.
    Steady loads keep 1 to 60 workers busy; their requests are independent, regular or clustered.

    Exit status 1: under a steady load, the workers changed more than twice within a minute.
    """
    cases = [case for case in sweep.cases(duration_s=duration, seeds=seeds) if only in case.name][::every]
    if not cases:
        output.fail(f"No load has {only!r} in its name. One is: 8 busy, poisson, exponential, batches of 1")
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
        best_for_its_kind(outcome),
        ", ".join(problems(outcome)) or "-",
    ]


def best_for_its_kind(outcome: Outcome) -> str:
    """Shows late % and workers / hindsight of the constant number of workers that is best for loads of this kind."""
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
        of_kind = [outcome for outcome in outcomes if outcome.case.steady is steady]
        if of_kind:
            yield from _summary_of(name, of_kind)


def _summary_of(name: str, outcomes: list[Outcome]) -> Iterator[str]:
    many = [outcome for outcome in outcomes if not outcome.frugal]
    yield (
        f"{len(outcomes)} {name} loads: {sum(not problems(outcome) for outcome in outcomes)} without problems, "
        f"{sum(outcome.flaps for outcome in outcomes)} flap, "
        f"{sum(not outcome.held for outcome in outcomes)} late (more than {sweep.LATE:.0%} of the requests wait "
        f"longer than {sweep.TARGET_S:g} s), {len(many)} with more than {sweep.MORE_WORKERS:g} times the workers of "
        f"hindsight; {_mean(outcomes):.2f} times on average"
    )
    if uneven := sum(outcome.uneven for outcome in many):
        yield f"of these {len(many)}, {uneven} where even the smallest constant number of workers is more than that"
    missed = [outcome for outcome in outcomes if problems(outcome)]
    if out_of_reach := sum(outcome.out_of_reach for outcome in missed):
        yield (
            f"of the {len(missed)} with problems, {out_of_reach} out of reach: the constant number of workers that is "
            f"best for loads of this kind is late, too, or more than {sweep.MORE_WORKERS:g} times those of hindsight"
        )


def _mean(outcomes: list[Outcome]) -> float:
    return sum(outcome.more_workers for outcome in outcomes) / len(outcomes)
