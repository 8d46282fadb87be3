"""The command ``stoker``: serve, stop, archive, archive-workflow, inspect, client, bench, simulate, migrate."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from stoker import TORCHSERVE_VERSION, __version__
from stoker.cli import console, option_order, output
from stoker.cli.lazy import LazyCommand
from stoker.cli.option_order import Command, WrongOption

SUBCOMMANDS = (
    LazyCommand(
        "serve",
        module="stoker.cli.starting",
        help="Serve models in the foreground until Ctrl-C. The same server, settings and files as with "
        "`torchserve --start`.",
    ),
    LazyCommand(
        "stop",
        module="stoker.cli.starting",
        help="Stop the server of this machine's temp folder (TEMP), and wait until it has ended.",
    ),
    LazyCommand(
        "archive",
        module="stoker.cli.archives",
        help="Pack a model into an archive that the server can load.",
    ),
    LazyCommand(
        "archive-workflow",
        module="stoker.cli.archives",
        help="Pack a workflow into an archive that the server can load. Its specification is checked first.",
    ),
    LazyCommand(
        "inspect",
        module="stoker.cli.archives",
        help="Show manifest, handler, files and sizes of an archive. Nothing is unpacked or executed.",
    ),
    LazyCommand("client", module="stoker.cli.client", help="Talk to a stoker or TorchServe server over gRPC."),
    LazyCommand(
        "bench",
        module="stoker.cli.bench",
        help="Measure a model: requests per second, latency, CPU per request and memory. Starts and ends its own "
        "servers.",
    ),
    LazyCommand("simulate", module="stoker.cli.simulate", help="Simulate the server's decisions on a virtual clock."),
    LazyCommand("migrate", module="stoker.cli.migrate", help="Move a TorchServe deployment to stoker."),
)

OTHER_NAMES = {"client": {"infer": "predict", "infer-stream": "stream", "models": "list"}}
"""Names of subcommands in TorchServe's own client."""

app = typer.Typer(
    no_args_is_help=True,
    help="Serves PyTorch models over TorchServe's gRPC and REST APIs: archives, handlers and clients run unchanged.",
)


def _version(wanted: bool) -> None:
    if wanted:
        output.echo(f"stoker {__version__} (serves as TorchServe {TORCHSERVE_VERSION})")
        raise typer.Exit()


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Exists for ``--version``."""


@console.command
def main(argv: Sequence[str] | None = None) -> None:
    """Returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    stoker = _with_subcommands()
    if "_STOKER_COMPLETE" in os.environ:  # the shell completes; the words are incomplete
        stoker(prog_name="stoker")
    words = sys.argv[1:] if argv is None else argv
    try:
        ordered = option_order.arrange(_command("stoker", stoker), words)
    except WrongOption as error:
        output.complain(str(error))
        sys.exit(output.USAGE_STATUS)
    stoker(ordered, prog_name="stoker")


def _with_subcommands() -> Any:
    group: Any = get_command(app)
    for command in SUBCOMMANDS:
        group.add_command(command)
    return group


def _command(name: str, parsed: Any) -> Command:
    """Converts typer's commands for `option_order`."""
    if isinstance(parsed, LazyCommand):
        parsed = parsed.load()
    options = {
        spelling: 0 if option.is_flag else option.nargs
        for option in parsed.params
        if option.param_type_name == "option"
        for spelling in (*option.opts, *option.secondary_opts)
    }
    commands = _Commands(getattr(parsed, "commands", {}))
    return Command(name, {**options, "--help": 0}, commands, OTHER_NAMES.get(name, {}))


class _Commands(Mapping[str, Command]):
    """Converts a subcommand when it is asked for."""

    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self._parsed = parsed

    def __getitem__(self, name: str) -> Command:
        return _command(name, self._parsed[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed)

    def __len__(self) -> int:
        return len(self._parsed)


if __name__ == "__main__":
    sys.exit(main())
