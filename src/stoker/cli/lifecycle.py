"""Starts, stops and describes a server, for `torchserve` and `stoker serve` alike.

Texts and exit status are TorchServe's, because scripts wait for them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stoker.cli import arguments, background, console, server_process, serving, stop_signals, stopping
from stoker.cli.arguments import StartOptions
from stoker.cli.stop_signals import StopSignals
from stoker.config import security, show
from stoker.config.load import Loaded, log_format
from stoker.errors import ConfigurationError, StartupError
from stoker.snapshots.resuming import load_for_start
from stoker.telemetry import log4j
from stoker.telemetry.log4j import LogLevels


def run(options: StartOptions, entry: Callable[..., object] | None = None) -> int:
    """Returns the exit status, unless this process becomes the server. ``entry``: the function that the script
    `torchserve` imports, if that script may have started this process."""
    try:
        if server_process.is_current() or not server_process.can_be_started():
            return _serve(options)
        return _hand_over(options, entry)
    except StartupError as error:
        return serving.fail(error, log_format(ts_config=options.ts_config, environment=os.environ))


def stop() -> int:
    """Stops the server of this temp folder; returns the exit status."""
    try:
        return stopping.stop(temp_dir())
    except StartupError as error:
        return serving.fail(error)


def print_config(options: StartOptions) -> int:
    """Prints every setting that a start would have; returns the exit status."""
    try:
        loaded = _load(options)
    except StartupError as error:
        return serving.fail(error)
    print("\n".join((*show.lines(loaded), *(f"# {warning}" for warning in loaded.warnings))))
    return 0


def _hand_over(options: StartOptions, entry: Callable[..., object] | None) -> int:
    command = server_process.command(options.words(), entry)
    if not options.foreground:
        return background.start(command)
    sys.stdout.flush()
    stop_signals.hold()
    server_process.replace_this_process(command)
    return _serve(options)


def temp_dir() -> Path:
    """Returns where `--stop` looks. Must not fail because of a file that only a start needs."""
    return Path(os.environ.get("TEMP") or tempfile.gettempdir())


def _serve(options: StartOptions) -> int:
    console.drop_failed_output()
    signals = StopSignals()
    with signals.listening():
        loaded = _load(options)
        missing = _missing_place(options, loaded)
        if missing:
            serving.echo(missing, loaded.settings.log_format)
            return 1
        mentioned = security.mentioned_topics(loaded.given.keys(), os.environ)
        levels, remarks = log_levels(options, loaded)
        serving.serve(
            loaded,
            access=security.decide(loaded.settings, mentioned=mentioned, file_in_use=loaded.file is not None),
            remarks=remarks,
            levels=levels,
            signals=signals,
            on_started=server_process.report_started,
            snapshots=not options.no_config_snapshots,
        )
    return 0


def _load(options: StartOptions) -> Loaded:
    return load_for_start(
        arguments=options.given(),
        environment=os.environ,
        ts_config=options.ts_config,
        resume=not options.no_config_snapshots,
    )


def _missing_place(options: StartOptions, loaded: Loaded) -> str | None:
    """Returns TorchServe's message for a missing folder or file that a flag names; others are only warned about."""
    if loaded.settings.model_store is None:
        return "Missing mandatory parameter --model-store"
    for name, exists, kind in (
        ("model_store", Path.is_dir, "directory"),
        ("workflow_store", Path.is_dir, "directory"),
        ("log_config", Path.is_file, "file"),
        ("cpp_log_config", Path.is_file, "file"),
    ):
        named = getattr(options, name)
        if named is not None and not exists(Path(named)):
            return f"{arguments.flag(name)} {kind} not found: {named}"
    if not loaded.settings.temp_dir.is_dir():
        raise ConfigurationError(f"Invalid configuration: TEMP: {loaded.settings.temp_dir} is not a directory")
    return None


def log_levels(options: StartOptions, loaded: Loaded) -> tuple[LogLevels | None, tuple[str, ...]]:
    """Reads the log4j2 file that the flag names, or else the options of the JVM in the properties file."""
    if options.log_config is not None:
        levels, remark = log4j.read(Path(options.log_config))
        return levels, (remark,)
    vmargs = loaded.given.get("vmargs")
    named = None if vmargs is None else log4j.named_in(vmargs.text)
    if named is None:
        return None, ()
    levels, remark = log4j.read(named, named_by="vmargs: log4j.configurationFile")
    return levels, (remark,)
