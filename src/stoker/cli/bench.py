"""Implements ``stoker bench``: measures a user's own model, beside TorchServe if it is available."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

import stoker.cli.quiet_grpc  # noqa: F401 - before everything that imports gRPC
from stoker.bench import machine, tools
from stoker.bench.contender import CannotInstall, Contender
from stoker.bench.contenders import Stoker, TorchServe
from stoker.bench.own_model import BenchOptions, Outcome, compare
from stoker.bench.spread import Spread
from stoker.cli import console, output
from stoker.errors import StokerError

ENGINES = ("nghttp2", "grpcio")


app = typer.Typer(add_completion=False)


@app.command()
def bench(
    archive: Annotated[Path, typer.Argument(help="The model archive.", exists=True, dir_okay=False)],
    file: Annotated[
        Path, typer.Option("--input", "-i", help="File that each request sends as 'data'.", exists=True, dir_okay=False)
    ],
    concurrency: Annotated[
        str, typer.Option("--concurrency", "-c", help="Numbers of concurrent clients, separated by commas.")
    ] = "1,16,64",
    against: Annotated[
        Path | None,
        typer.Option(help="TorchServe to compare with: its executable or virtual environment.", show_default=False),
    ] = None,
    engines: Annotated[str, typer.Option(help="stoker's gRPC engines to measure, separated by commas.")] = ",".join(
        ENGINES
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the servers take turns in each.")] = 3,
    duration: Annotated[float, typer.Option(min=1, max=60, help="Seconds per measurement.")] = 3.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Most requests per handler call.")] = 1,
    max_batch_delay: Annotated[
        int, typer.Option(min=0, help="Longest wait for a batch to fill, in milliseconds.")
    ] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="Threads per worker; 0: each server's default.")] = 0,
) -> None:
    """Measure a model: requests per second, latency, CPU per request and memory. Starts and ends its own servers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: ends every server
    try:
        options = BenchOptions(
            archive=archive.resolve(),
            payload=file.read_bytes(),
            concurrency=numbers(concurrency),
            rounds=rounds,
            duration_s=duration,
            batch_size=batch_size,
            max_batch_delay_ms=max_batch_delay,
            workers=workers,
            threads=threads,
        )
        outcome = compare(options, contenders(engines, against), h2load_tool=tools.find("h2load"), say=output.note)
    except (StokerError, OSError) as error:
        output.fail(console.described(error))
    show(outcome, options)
    if not outcome.measured:
        raise typer.Exit(1)


def numbers(text: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        output.fail(f"--concurrency takes whole numbers separated by commas, such as 1,16,64; not {text!r}")
    return found


def contenders(engines: str, against: Path | None) -> list[Contender]:
    names = [name.strip() for name in engines.split(",")]
    if unknown := set(names) - set(ENGINES):
        output.fail(f"--engines takes {' and '.join(ENGINES)}; not {min(unknown)!r}")
    found: list[Contender] = [Stoker(name) for name in names]
    if against is not None:
        torchserve = TorchServe(executable(against))
        torchserve.install(against, ())
        found.append(torchserve)
    return found


def executable(path: Path) -> Path:
    """Returns the torchserve command of a virtual environment. Raises CannotInstall if there is none."""
    found = path / "bin" / "torchserve" if path.is_dir() else path
    if not found.is_file():
        raise CannotInstall(f"There is no torchserve at {path}: give its executable or its virtual environment.")
    return found.absolute()


def show(outcome: Outcome, options: BenchOptions) -> None:
    facts = machine.describe()
    output.note(f"{facts['cpu']}, {facts['cores']} cores; medians of {options.rounds} rounds (least-greatest)")
    names = list(dict.fromkeys(name for name, _ in outcome.measured))
    rows = [row(outcome, name, c) for c in options.concurrency for name in names]
    output.table(HEAD, rows)
    loop = Spread.of([m.rate for m in outcome.loop if m.problem is None])
    if loop:
        output.note(f"The handler alone, without a server: {loop.text()} requests/s")
    for name, why in outcome.failed.items():
        output.warn(f"{name} was not measured: {why}")
    if len({outcome.answers[name] for name in names if name in outcome.answers}) > 1:
        output.warn("the contenders gave different answers to the same input")
    for (name, c), rounds in outcome.measured.items():
        for problem in {m.problem for m in rounds if m.problem}:
            output.warn(f"{name}, concurrency {c}: {problem}")


HEAD = ["clients", "contender", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "MiB", "x torchserve", "x handler"]


def row(outcome: Outcome, name: str, concurrency: int) -> list[str]:
    def median(pick: str) -> str:
        return shown(outcome.spread(name, concurrency, lambda m: m.latencies_ms.get(pick, 0.0)))

    return [
        str(concurrency),
        name,
        shown(outcome.spread(name, concurrency, lambda m: m.rate)),
        median("p50"),
        median("p99"),
        shown(outcome.spread(name, concurrency, lambda m: m.cpu_us)),
        f"{outcome.memory_mib.get(name, 0):.0f}",
        shown(outcome.ratio(name, TorchServe.name, concurrency)),
        shown(outcome.loop_ratio(name, concurrency)),
    ]


def shown(spread: Spread | None) -> str:
    return spread.text() if spread else "-"
