"""Starts the server's process, and marks it so that tools can find it.

Invariant: exactly one process of a server has `process_id.SERVER_MARK` as an argument, because SageMaker's toolkit,
watchdogs and `pgrep` know TorchServe by the class name on Java's command line.  Python ignores the option; workers do
not inherit it.  The launcher becomes this process by exec (in the foreground, so the pid stays) or starts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stoker.cli.process_id import SERVER_MARK
from stoker.core import malloc

_MODULE = "stoker.cli.torchserve"
_STARTED_FD = "STOKER_STARTED_FD"
_STARTED = b"1"


def is_current() -> bool:
    """Tells whether this process is the one that serves."""
    return SERVER_MARK in sys._xoptions


def can_be_started() -> bool:
    """Returns False if Python is embedded in another program."""
    return bool(sys.executable)


def command(argv: Sequence[str], entry: Callable[..., object] | None) -> list[str]:
    """Returns the server's command line for the arguments of `torchserve`. ``entry``: the function that its script
    imports; if that script started us, the server shows its name too."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    if sys.getfilesystemencoding() != "utf-8":
        flags += ["-X", "utf8"]  # model and file names may be any text, whatever the locale can encode
    return [sys.executable, *flags, "-X", SERVER_MARK, *_program(entry), *argv]


def replace_this_process(command: Sequence[str]) -> None:
    """Replaces this process by exec. Returns only if the system refuses."""
    try:
        os.execve(sys.executable, list(command), environment(os.environ))  # noqa: S606 - our own interpreter
    except OSError:
        pass  # the command line is too long, for example: this process can serve too, only less visibly


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment, with the settings that malloc reads at process start."""
    wanted = malloc.for_server(inherited) if sys.platform == "linux" else None
    return dict(inherited) if wanted is None else {**inherited, malloc.VARIABLE: wanted}


def environment_with_start_pipe(writer: int) -> dict[str, str]:
    """Returns the environment of a server whose `report_started` writes to the pipe ``writer``."""
    return {**environment(os.environ), _STARTED_FD: str(writer)}


def wait_until_started(reader: int) -> bool:
    """Waits until the server reports its start; False if it ended before."""
    return os.read(reader, 1) == _STARTED


def report_started() -> None:
    """Tells a waiting launcher. Workers inherit neither the pipe nor the variable that names it."""
    try:
        writer = int(os.environ.pop(_STARTED_FD))
        os.write(writer, _STARTED)
        os.close(writer)
    except (KeyError, ValueError, OSError):
        pass  # started in the foreground, or the launcher stopped waiting


def _program(entry: Callable[..., object] | None) -> list[str]:
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None) if main.__spec__ is None else None  # otherwise a module, run by -m
    if script is not None and entry is not None and getattr(main, "main", None) is entry:
        return [script]
    safe_path = ["-P"] if sys.version_info >= (3, 11) and not sys.flags.safe_path and _is_installed() else []
    return [*safe_path, "-m", _MODULE]  # no module of the current folder may replace one of ours


def _is_installed() -> bool:
    """Returns False if the packages are found only because they are in the current folder."""
    return Path(__file__).resolve().parents[2] != Path.cwd()
