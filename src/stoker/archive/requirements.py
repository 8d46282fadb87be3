"""Installs what an archive's requirements file asks for, and makes the virtual environment of a model.

Only called where the operator switched it on (``install_py_dep_per_model``, ``useVenv``): pip runs code of the packages
it installs.  It runs in a process of its own, in a process group that is killed whole at the time limit and on
cancellation; what it prints goes to the log line by line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stoker.archive.manifest import Manifest
from stoker.core.text import printable
from stoker.errors import RequirementsFailed

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 12
_PIP = ("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off")
_SITE_DIRS = "import sys; print('\\n'.join(p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """``python``: the interpreter that workers run with."""

    python: str
    timeout_s: float = 1800.0

    async def install(self, *, model: str, manifest: Manifest, model_dir: Path) -> None:
        """Installs the packages into the model's own directory, which workers import from. Raises
        RequirementsFailed."""
        if manifest.requirements_file is None:
            return
        command = (self.python, *_PIP, "-U", "-t", str(model_dir), "-r", str(model_dir / manifest.requirements_file))
        await self._run_pip(model, command, model_dir)

    async def make_venv(self, *, model: str, manifest: Manifest, model_dir: Path, venv_dir: Path) -> str:
        """Creates a virtual environment and returns its interpreter. It sees its own packages first, then those of
        `python`.

        Raises: RequirementsFailed
        """
        await self._create_venv(model, venv_dir)
        python = str(venv_dir / "bin" / "python")
        if manifest.requirements_file is not None:
            path = str(model_dir / manifest.requirements_file)
            command = (python, *_PIP, "-U", "--upgrade-strategy", "only-if-needed", "-r", path)
            await self._run_pip(model, command, model_dir)
        return python

    async def _create_venv(self, model: str, venv_dir: Path) -> None:
        command = (self.python, "-m", "venv", "--clear", "--without-pip", str(venv_dir))
        if await _run(command, model=model, cwd=venv_dir.parent, timeout_s=self.timeout_s) != 0:
            raise _venv_failed(model)
        site_dirs = await _output((self.python, "-c", _SITE_DIRS), timeout_s=self.timeout_s)
        if site_dirs is None or not _inherit(venv_dir, site_dirs.splitlines()):
            raise _venv_failed(model)

    async def _run_pip(self, model: str, command: Sequence[str], model_dir: Path) -> None:
        log.info("Installing the requirements of model %s", model, extra={"event": "pip_started", "model": model})
        if await _run(command, model=model, cwd=model_dir, timeout_s=self.timeout_s) != 0:
            raise RequirementsFailed(model=model)


def _venv_failed(model: str) -> RequirementsFailed:
    return RequirementsFailed(f"Virtual environment creation failed for model {model}")


def _inherit(venv_dir: Path, site_dirs: Sequence[str]) -> bool:
    """Lets the venv import from ``site_dirs`` too. False: it has no site-packages of its own.

    Calls addsitedir instead of adding a path: packages in development mode depend on .pth files in these folders.
    """
    own = next(venv_dir.glob("lib/python*/site-packages"), None)
    if own is None:
        return False
    lines = [f"import site; site.addsitedir({folder!r})" for folder in site_dirs]
    (own / "stoker_inherited.pth").write_text("\n".join(lines) + "\n")
    return True


async def _run(command: Sequence[str], *, model: str, cwd: Path, timeout_s: float) -> int | None:
    """Runs a command. Returns its exit code, None if it could not start or timed out."""
    try:
        process = await _start(command, cwd)
    except OSError as error:
        log.error("Cannot run %s: %s", command[0], error.strerror, extra={"event": "pip_failed", "model": model})
        return None
    try:
        await asyncio.wait_for(_log_until_end(process, model), timeout_s)
    except asyncio.TimeoutError:
        log.error("Killed after %g s", timeout_s, extra={"event": "pip_timeout", "model": model})
    finally:
        await _kill_group(process)
    return process.returncode


async def _output(command: Sequence[str], *, timeout_s: float) -> str | None:
    process = await _start(command, Path.cwd(), stderr=asyncio.subprocess.DEVNULL)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except asyncio.TimeoutError:
        return None
    finally:
        await _kill_group(process)
    return output.decode(errors="surrogateescape") if process.returncode == 0 else None


async def _start(
    command: Sequence[str], cwd: Path, stderr: int = asyncio.subprocess.STDOUT
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


async def _log_until_end(process: asyncio.subprocess.Process, model: str) -> None:
    async for line in _lines(process):
        level = logging.ERROR if line.startswith("ERROR") else logging.INFO
        log.log(level, "pip: %s", line, extra={"event": "pip_output", "model": model})
    await process.wait()


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """Yields lines, and splits endless ones, so that memory stays bounded."""
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(_READ_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield _printable(line)
        if len(rest) > _MAX_LINE_BYTES:
            yield _printable(rest)
            rest = b""
    if rest:
        yield _printable(rest)


def _printable(line: bytes) -> str:
    text = line[:_MAX_LINE_BYTES].decode(errors="replace").rstrip()
    return printable(text, " ")


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    """Kills the process group, including what pip started. Waits even if cancelled, so that no zombie remains."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all have ended
    if process.returncode is not None:
        return
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await asyncio.wait([waiting])
        raise
