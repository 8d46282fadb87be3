"""The command ``stoker``: serve, stop, archive, inspect, client, bench, migrate."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

import stoker.cli.quiet_grpc  # noqa: F401 - before everything that imports gRPC
from stoker import TORCHSERVE_VERSION, __version__
from stoker.archive import builder
from stoker.archive.inspect import Inspection, inspect_archive
from stoker.cli import archiver, bench, client, connecting, console, migrate, option_order, output, starting
from stoker.cli.option_order import Command, WrongOption
from stoker.errors import StokerError

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


@app.command()
def archive(
    handler: Annotated[
        str, typer.Argument(help="Handler: a Python file, file.py:function or a built-in name.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the model.", show_default=False)],
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1.0",
    weights: Annotated[Path | None, typer.Option(help="The serialized model.")] = None,
    model_file: Annotated[Path | None, typer.Option(help="Python file with the model class (eager mode).")] = None,
    extra: Annotated[list[str] | None, typer.Option(help="File, directory or pattern to add; repeat.")] = None,
    requirements: Annotated[Path | None, typer.Option(help="Packages that the model needs.")] = None,
    config: Annotated[Path | None, typer.Option(help="model-config.yaml.")] = None,
    archive_format: Annotated[
        str, typer.Option("--format", help="One of: " + ", ".join(builder.FORMATS) + ".")
    ] = "default",
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Directory to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an archive that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Pack a model into an archive that the server can load."""
    request = builder.BuildRequest(
        model_name=name,
        handler=handler,
        version=version,
        serialized_file=_text(weights),
        model_file=_text(model_file),
        extra_files=",".join(extra) if extra else None,
        requirements_file=_text(requirements),
        config_file=_text(config),
        archive_format=archive_format,
        export_path=_text(out),
        force=force,
    )
    try:
        output.say(str(builder.build(request, archiver.shown_progress(name, quiet=quiet))))
    except (StokerError, OSError) as error:
        output.fail(str(error))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .mar, .tar.gz or model directory.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show manifest, handler, files and sizes of an archive. Nothing is unpacked or executed."""
    try:
        found = inspect_archive(file)
    except StokerError as error:
        output.fail(str(error))
    if as_json:
        output.say(json.dumps(_as_dict(found), indent=2))
    else:
        _show(found)
    raise typer.Exit(1 if found.manifest is None else 0)


def _show(found: Inspection) -> None:
    for key, value in _facts(found).items():
        output.say(f"{key:<12}{value}")
    for key, setting in found.config.items():
        output.say(f"{'config':<12}{key}: {setting}")
    output.table(["file", "bytes"], [[entry.name, str(entry.size)] for entry in found.entries])
    for warning in found.warnings:
        output.warn(warning)


def _facts(found: Inspection) -> dict[str, object]:
    manifest = found.manifest
    model = {
        "model": manifest.model_name if manifest else None,
        "version": manifest.model_version if manifest else None,
        "runtime": manifest.runtime if manifest else None,
        "handler": found.handler,
    }
    sizes = f"{len(found.entries)} files, {found.total_bytes} bytes ({found.archive_bytes} packed)"
    return {"file": found.file, "format": found.format, **model, "contents": sizes}


def _as_dict(found: Inspection) -> dict[str, object]:
    return {
        **_facts(found),
        "manifest": found.manifest.raw if found.manifest else None,
        "config": dict(found.config),
        "files": [{"name": entry.name, "bytes": entry.size, "packed": entry.packed} for entry in found.entries],
        "warnings": list(found.warnings),
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


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
