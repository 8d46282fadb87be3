"""Implements `stoker serve` and `stoker stop`: TorchServe's start and stop with modern option names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stoker.cli.arguments import StartOptions

_NO_EFFECT = "Accepted for TorchServe's scripts, without effect"

_EPILOG = """Exit status: 0 the server ended, or is up with --background; 1 it did not start; 2 wrong usage;
3 an address is in use.

Examples:

  stoker serve --model-store models --models all

  stoker serve --model-store models --models shout=shout.mar --models echo.mar

  stoker serve --config config.properties --background

  stoker serve --config config.properties --print-config
"""


app = typer.Typer()


@app.command(epilog=_EPILOG)
def serve(
    model_store: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the model archives; required here or in the configuration file.", show_default=False
        ),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", "-m", help="[NAME=]ARCHIVE to load; can be repeated; or 'all'.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "--ts-config", "-c", help="A config.properties file.")
    ] = None,
    workflow_store: Annotated[
        Path | None,
        typer.Option(help="Directory of the workflow archives; the model store if not given.", show_default=False),
    ] = None,
    no_tokens: Annotated[
        bool, typer.Option("--no-tokens", "--disable-token-auth", "--dt", help="Serve clients without a token.")
    ] = False,
    model_api: Annotated[
        bool, typer.Option("--model-api", "--enable-model-api", help="Let clients register and unregister models.")
    ] = False,
    no_snapshots: Annotated[
        bool,
        typer.Option(
            "--no-snapshots",
            "--no-config-snapshots",
            "--ncs",
            help="Neither write nor resume snapshots of the models.",
        ),
    ] = False,
    background: Annotated[
        bool, typer.Option("--background", help="Return when the server is up; 'stoker stop' ends it.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show every setting and where it comes from; start nothing.")
    ] = False,
    log_config: Annotated[
        Path | None, typer.Option(help="A log4j2 file of TorchServe; only its levels take effect.")
    ] = None,
    cpp_log_config: Annotated[
        Path | None, typer.Option(help="Log file settings of the C++ backend.", rich_help_panel=_NO_EFFECT)
    ] = None,
    plugins_path: Annotated[
        Path | None,
        typer.Option("--plugins-path", "--ppath", help="Java plug-ins.", rich_help_panel=_NO_EFFECT),
    ] = None,
) -> None:
    """Serve models in the foreground until Ctrl-C. The same server, settings and files as with `torchserve --start`."""
    from stoker.cli import lifecycle  # noqa: PLC0415 - slow to import; --help does without

    options = StartOptions(
        ts_config=_text(config),
        model_store=_text(model_store),
        workflow_store=_text(workflow_store),
        models=tuple(models or ()),
        log_config=_text(log_config),
        cpp_log_config=_text(cpp_log_config),
        plugins_path=_text(plugins_path),
        foreground=not background,
        no_config_snapshots=no_snapshots,
        disable_token_auth=no_tokens,
        enable_model_api=model_api,
    )
    raise typer.Exit(lifecycle.print_config(options) if print_config else lifecycle.run(options))


@app.command()
def stop() -> None:
    """Stop the server of this machine's temp folder (TEMP), and wait until it has ended."""
    from stoker.cli import lifecycle  # noqa: PLC0415 - slow to import; --help does without

    raise typer.Exit(lifecycle.stop())


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
