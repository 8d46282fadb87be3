"""The command `torchserve`: starts a server in the background or the foreground, stops it, tells its settings.

Texts and exit status are TorchServe's where it has them: scripts wait for them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stoker import TORCHSERVE_VERSION, __version__
from stoker.cli import arguments, background, serving, stopping
from stoker.config import security, show
from stoker.config.load import Loaded
from stoker.config.startup import load_for_start
from stoker.core import malloc
from stoker.errors import ConfigurationError, StartupError
from stoker.telemetry import log4j
from stoker.telemetry.log4j import LogLevels

VERSION_TEXT = f"TorchServe Version is {TORCHSERVE_VERSION} (stoker {__version__})"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status, in the background server's process too."""
    options = arguments.ArgParser.ts_parser().parse_args(argv)
    if options.version:
        print(VERSION_TEXT)
        return 0
    try:
        if options.stop:
            return stopping.stop(temp_dir())
        if options.print_config:
            return _print_config(options)
        if argv is None:
            _have_memory_handed_out_in_large_pages()
        return _start(options)
    except StartupError as error:
        return serving.fail(error)
    except KeyboardInterrupt:
        return 130  # Ctrl-C before the server listens to signals, or while the launcher waits


def _have_memory_handed_out_in_large_pages() -> None:
    """malloc reads its settings when a process begins: begin again, as the same process with the same arguments."""
    wanted = malloc.for_server(os.environ)
    if wanted is None or sys.platform != "linux":
        return
    os.environ[malloc.VARIABLE] = wanted
    with contextlib.suppress(OSError):
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very command that is running


def start() -> None:
    """The entry point that `ts.model_server` has always had."""
    sys.exit(main())


def temp_dir() -> Path:
    """Where `--stop` looks: it must not fail because of a file that only a start needs."""
    return Path(os.environ.get("TEMP") or tempfile.gettempdir())


def _print_config(options: argparse.Namespace) -> int:
    loaded = _load(options)
    text = "\n".join((*show.lines(loaded), *(f"# {warning}" for warning in loaded.warnings)))
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `torchserve --print-config | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _start(options: argparse.Namespace) -> int:
    loaded = _load(options)
    missing = _missing_place(options, loaded)
    if missing:
        print(missing)
        return 1
    mentioned = security.mentioned_topics(loaded.given.keys(), os.environ)
    access = security.decide(loaded.settings, mentioned=mentioned, file_in_use=loaded.file is not None)
    levels, remarks = _log_levels(options)
    snapshots = not options.no_config_snapshots
    if options.foreground:
        serving.serve(loaded, access=access, remarks=remarks, levels=levels, snapshots=snapshots)
        return 0

    def run(tell_started: background.Teller) -> int:
        try:
            serving.serve(
                loaded, access=access, remarks=remarks, levels=levels, on_started=tell_started, snapshots=snapshots
            )
        except StartupError as error:
            return serving.fail(error)
        return 0

    return background.start(run)


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
