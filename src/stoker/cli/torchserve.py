"""The command `torchserve`: starts a server in the background or the foreground, stops it, tells its settings.

Texts and exit status are TorchServe's where it has them: scripts wait for them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stoker import TORCHSERVE_VERSION, __version__
from stoker.cli import arguments, background, console, server_process, serving, stop_signals, stopping
from stoker.cli.stop_signals import StopSignals
from stoker.config import security, show
from stoker.config.load import Loaded
from stoker.config.startup import load_for_start
from stoker.errors import ConfigurationError, StartupError
from stoker.telemetry import log4j
from stoker.telemetry.log4j import LogLevels

VERSION_TEXT = f"TorchServe Version is {TORCHSERVE_VERSION} (stoker {__version__})"


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status, unless this process becomes the server."""
    options = arguments.ArgParser.ts_parser().parse_args(argv)
    if options.version:
        print(VERSION_TEXT)
        return 0
    try:
        if options.stop:
            return stopping.stop(temp_dir())
        if options.print_config:
            return _print_config(options)
        if not server_process.is_current():
            return _hand_over(options, sys.argv[1:] if argv is None else argv)
        return _serve(options)
    except StartupError as error:
        return serving.fail(error)


def _hand_over(options: argparse.Namespace, argv: Sequence[str]) -> int:
    if not server_process.can_be_started():
        return _serve(options)
    command = server_process.command(argv, main)
    if not options.foreground:
        return background.start(command)
    sys.stdout.flush()
    stop_signals.hold()
    server_process.replace_this_process(command)
    return _serve(options)


def start() -> None:
    """The entry point that `ts.model_server` has always had. Returns when the server runs, as there."""
    status = main()
    if status:
        sys.exit(status)


def temp_dir() -> Path:
    """Where `--stop` looks: it must not fail because of a file that only a start needs."""
    return Path(os.environ.get("TEMP") or tempfile.gettempdir())


def _print_config(options: argparse.Namespace) -> int:
    loaded = _load(options)
    print("\n".join((*show.lines(loaded), *(f"# {warning}" for warning in loaded.warnings))))
    return 0


def _serve(options: argparse.Namespace) -> int:
    console.outlive_output()
    signals = StopSignals()
    with signals.listening():
        loaded = _load(options)
        missing = _missing_place(options, loaded)
        if missing:
            print(missing, flush=True)
            return 1
        mentioned = security.mentioned_topics(loaded.given.keys(), os.environ)
        levels, remarks = _log_levels(options)
        serving.serve(
            loaded,
            access=security.decide(loaded.settings, mentioned=mentioned, file_in_use=loaded.file is not None),
            remarks=remarks,
            levels=levels,
            signals=signals,
            on_started=server_process.tell_started,
            snapshots=not options.no_config_snapshots,
        )
    return 0


def _load(options: argparse.Namespace) -> Loaded:
    return load_for_start(
        arguments=arguments.given(options),
        environment=os.environ,
        ts_config=options.ts_config,
        resume=not options.no_config_snapshots,
    )


def _missing_place(options: argparse.Namespace, loaded: Loaded) -> str | None:
    """TorchServe's words for a folder or file that a flag names and that is not there. What a file or a variable names
    is warned about: it may be mounted later, and may not matter."""
    if loaded.settings.model_store is None:
        return "Missing mandatory parameter --model-store"
    for flag, exists, kind in (
        ("model_store", Path.is_dir, "directory"),
        ("workflow_store", Path.is_dir, "directory"),
        ("log_config", Path.is_file, "file"),
        ("cpp_log_config", Path.is_file, "file"),
    ):
        named = getattr(options, flag)
        if named is not None and not exists(Path(named)):
            return f"--{flag.replace('_', '-')} {kind} not found: {named}"
    if not loaded.settings.temp_dir.is_dir():
        raise ConfigurationError(f"Invalid configuration: TEMP: {loaded.settings.temp_dir} is not a directory")
    return None


def _log_levels(options: argparse.Namespace) -> tuple[LogLevels | None, tuple[str, ...]]:
    if options.log_config is None:
        return None, ()
    levels, remark = log4j.read(Path(options.log_config))
    return levels, (remark,)


if __name__ == "__main__":
    sys.exit(main())
