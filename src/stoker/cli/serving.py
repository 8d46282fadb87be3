"""Runs a server in this process until it is stopped, for `torchserve` and `stoker serve`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from importlib import metadata
from typing import TYPE_CHECKING, Any, TextIO

from stoker.cli import hangup
from stoker.cli.instance import Instance
from stoker.cli.stop_signals import StopSignals
from stoker.config import model_snapshot, security
from stoker.config.load import Loaded
from stoker.config.security import AccessPolicy
from stoker.config.settings import Settings
from stoker.errors import StartupError
from stoker.frontend import open_files
from stoker.snapshots.settings import properties_of
from stoker.telemetry.capture import Capture, console_fd
from stoker.telemetry.json_lines import lone_line
from stoker.telemetry.log4j import LogLevels
from stoker.telemetry.logs import Logs
from stoker.telemetry.sinks import Console

if TYPE_CHECKING:
    from stoker.telemetry.metrics import Metrics

STARTED = "Model server started."
log = logging.getLogger(__name__)


def serve(
    loaded: Loaded,
    *,
    access: AccessPolicy,
    signals: StopSignals,
    remarks: tuple[str, ...] = (),
    on_started: Callable[[], None] = lambda: None,
    levels: LogLevels | None = None,
    snapshots: bool = True,
) -> None:
    """Runs a server.

    ``remarks``: more lines for the log.  ``levels``: log levels, if not the defaults.  ``on_started`` is called after
    the line `STARTED` on the console.  ``snapshots``: write snapshots.

    Raises: StartupError: with one clear message; nothing is left behind.
    """
    security.check(loaded.settings)
    with ExitStack() as stack:
        instance = Instance(loaded.settings.temp_dir)
        stack.callback(instance.release)
        orphaned = instance.claim()
        logs = _logs(loaded.settings, levels)
        logs.start()
        stack.callback(logs.close)
        capture = Capture()
        capture.start()
        stack.callback(capture.close)
        stack.enter_context(hangup.reopens(lambda: _reopen(logs)))
        if orphaned:
            logs.announce("Removing orphan pid file.")
        log.info("Settings: %s; model store: %s; logs: %s", *_places(loaded), extra={"event": "server_starting"})
        for text in (*_remarks(loaded), *remarks, *_pid_file_remarks(instance)):
            log.warning("%s", text)
        _log_resumed(loaded)
        _run(loaded, access, logs, signals, on_started, properties_of(loaded) if snapshots else None)
        log.info("Server stopped.", extra={"event": "server_stopped"})


def _reopen(logs: Logs) -> None:
    logs.reopen()
    log.info("Reopening the log files because of SIGHUP", extra={"event": "logs_reopened"})


def _log_resumed(loaded: Loaded) -> None:
    snapshot = loaded.settings.model_snapshot
    if snapshot is not None:
        log.info(
            "Models resumed from %s: %s; settings from %s",
            loaded.snapshot or loaded.file,
            model_snapshot.describe(snapshot),
            _places(loaded)[0],
            extra={"event": "snapshot_resumed"},
        )


def _run(
    loaded: Loaded,
    access: AccessPolicy,
    logs: Logs,
    signals: StopSignals,
    on_started: Callable[[], None],
    snapshot_settings: Mapping[str, str] | None,
) -> None:
    from stoker.server import Server  # noqa: PLC0415 - imports gRPC, which must not happen before a fork

    def started() -> None:
        logs.announce(STARTED)
        on_started()

    open_files.raise_limit()
    access_log = logs.access if loaded.settings.access_log else None
    metrics = _metrics(loaded.settings, logs)
    server = Server(
        loaded.settings,
        access=access,
        access_log=access_log,
        metrics=metrics,
        on_started=started,
        snapshot_settings=snapshot_settings,
    )
    signals.attach(server.request_stop)
    try:
        run_loop(server.run())
    except StartupError:
        raise
    except Exception:
        log.exception("The server failed")
        raise StartupError("The server failed; the log says why.") from None


def _logs(settings: Settings, levels: LogLevels | None) -> Logs:
    return Logs(
        log_location=settings.log_location,
        metrics_location=settings.metrics_location,
        console=Console(console_fd()),
        console_lines=settings.console_log,
        format=settings.log_format,
        levels=levels,
        rolling=settings.log_rolling,
    )


def _metrics(settings: Settings, logs: Logs) -> Metrics:
    from stoker.telemetry.metrics import Metrics  # noqa: PLC0415 - reads YAML, which `--stop` and others need not wait for

    return Metrics(
        mode=settings.metrics_mode,
        config=settings.metrics_config,
        auto_detect=settings.model_metrics_auto_detect,
        ts_log=logs.ts_metrics,
        model_log=logs.model_metrics,
        as_json=logs.as_json,
    )


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Runs on uvloop if it can be imported."""
    try:
        import uvloop  # noqa: PLC0415 - not available on every platform
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def _places(loaded: Loaded) -> tuple[str, str, str]:
    file = str(loaded.file) if loaded.file is not None else "no properties file"
    return file, str(loaded.settings.model_store), str(loaded.settings.log_location.absolute())


def _remarks(loaded: Loaded) -> Iterator[str]:
    yield from loaded.warnings
    try:
        original = metadata.distribution("torchserve")
    except metadata.PackageNotFoundError:
        return
    place = original.locate_file("")
    yield (
        f"torchserve {original.version} is installed in the same environment ({place}): it and stoker both own the "
        "package ts and the command torchserve. Uninstall it, or use an environment of its own."
    )


def _pid_file_remarks(instance: Instance) -> Iterator[str]:
    if not instance.has_pid_file:
        yield (
            f"{instance.pid_file} is another user's and cannot be replaced, so it does not name this server. "
            "torchserve --stop finds the server without it."
        )


def fail(error: StartupError, log_format: str = "text") -> int:
    """Prints one clear line, and returns the exit status."""
    echo(error.message, log_format, logging.ERROR, sys.stderr)
    return error.exit_code


def echo(text: str, log_format: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Prints a line of a start whose logs are not open."""
    print(lone_line(text, level) if log_format == "json" else text, file=stream, flush=True)
