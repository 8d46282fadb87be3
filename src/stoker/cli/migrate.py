"""Implements `stoker migrate check`: what would change if a TorchServe deployment moved to stoker."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from stoker.cli import output
from stoker.errors import ConfigurationError
from stoker.migrate import deployment, report
from stoker.migrate.deployment import Deployment
from stoker.migrate.environment import read_env_file
from stoker.migrate.findings import exit_code

app = typer.Typer(no_args_is_help=True, help="Move a TorchServe deployment to stoker.")
_CANNOT_READ = 2


@app.callback()
def top() -> None:
    """Exists only so that `check` is a subcommand."""


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="A config.properties, or the folder that TorchServe is started from.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(help="File with NAME=VALUE lines, in place of this environment.", show_default=False),
    ] = None,
    model_store: Annotated[
        Path | None,
        typer.Option(help="Folder with the archives, if only TorchServe's command line named it.", show_default=False),
    ] = None,
) -> None:
    """Report what stays the same, what changes and what is unsupported: settings, variables, snapshots, archives.

    Only reads files, and runs no code of an archive.

    Exit status: 0 nothing is unsupported; 1 something is; 2 something cannot be read.
    """
    logging.getLogger("stoker").addHandler(logging.NullHandler())  # the findings say what it would log
    try:
        environment = os.environ if env_file is None else read_env_file(env_file)
        found = deployment.check(
            Deployment.at(path, environment=environment, model_store=model_store), environment=environment
        )
    except ConfigurationError as error:
        output.fail(str(error), _CANNOT_READ)
    if as_json:
        output.echo(json.dumps(report.as_object(str(path), found), indent=2))
    else:
        for line in report.lines(found):
            output.echo(line)
    raise typer.Exit(exit_code(found))
