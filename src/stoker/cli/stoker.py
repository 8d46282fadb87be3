"""The command ``stoker``: serve, stop, archive, archive-workflow, inspect, client, bench, migrate."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

import stoker.cli.quiet_grpc  # noqa: F401 - before everything that imports gRPC
from stoker import TORCHSERVE_VERSION, __version__
from stoker.cli import archives, bench, client, connecting, console, migrate, option_order, output, starting
from stoker.cli.option_order import Command, WrongOption

app = typer.Typer(
    no_args_is_help=True,
    help="Serves PyTorch models over TorchServe's gRPC and REST APIs: archives, handlers and clients run unchanged.",
)
app.add_typer(client.app, name="client")
app.add_typer(migrate.app, name="migrate")
app.command()(bench.bench)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"stoker {__version__} (serves as TorchServe {TORCHSERVE_VERSION})")
        raise typer.Exit()


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Exists for ``--version``."""


app.command(epilog=starting.EPILOG)(starting.serve)
app.command()(starting.stop)
app.command()(archives.archive)
app.command("archive-workflow")(archives.archive_workflow)
app.command()(archives.inspect)


@console.command
def main(argv: Sequence[str] | None = None) -> None:
    """Returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    if "_STOKER_COMPLETE" in os.environ:  # the shell completes; the words are incomplete
        app(prog_name="stoker")
    words = sys.argv[1:] if argv is None else argv
    try:
        ordered = option_order.arrange(_command("stoker", get_command(app)), words)
    except WrongOption as error:
        output.complain(str(error))
        sys.exit(connecting.USAGE_STATUS)
    app(ordered, prog_name="stoker")


def _command(name: str, parsed: Any) -> Command:
    """Converts typer's commands for `option_order`."""
    options = {
        spelling: 0 if option.is_flag else option.nargs
        for option in parsed.params
        if option.param_type_name == "option"
        for spelling in (*option.opts, *option.secondary_opts)
    }
    commands = {word: _command(word, below) for word, below in getattr(parsed, "commands", {}).items()}
    other_names = client.OTHER_NAMES if name == "client" else {}
    return Command(name, {**options, "--help": 0}, commands, other_names)


if __name__ == "__main__":
    sys.exit(main())
