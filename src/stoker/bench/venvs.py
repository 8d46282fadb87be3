"""Makes a contender's own virtual environment. Does nothing if requirements and interpreter are unchanged.

A stamp in the venv holds both; a venv without a stamp was interrupted.  All contenders run on the interpreter that runs
the bench: another build of the same release can be a quarter slower.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stoker.bench.contender import CannotInstall

INSTALL_TIMEOUT_S = 900


def make_venv(
    home: Path,
    packages: Sequence[str],
    *,
    without_dependencies: Sequence[str] = (),
) -> Path:
    """Makes a venv in ``home`` with ``packages``; returns its interpreter. Installs ``without_dependencies`` last."""
    python, stamp = home / "bin" / "python", home / ".stoker-bench"
    interpreter = f"{sys.executable} ({sys.base_prefix}, {sys.version})"
    wanted = "\n".join([interpreter, str(home), *packages, "--no-deps", *without_dependencies])
    made = stamp.read_text() if python.exists() and stamp.exists() else ""
    if made == wanted:
        return python
    stamp.unlink(missing_ok=True)
    if not made.startswith(f"{interpreter}\n"):
        run([sys.executable, "-m", "venv", "--clear", str(home)], home)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    if packages:
        run([*pip, *packages], home)
    if without_dependencies:
        run([*pip, "--no-deps", *without_dependencies], home)
    stamp.write_text(wanted)
    return python


def run(command: Sequence[str], home: Path) -> None:
    """Runs a command. Raises CannotInstall with the last line that it wrote."""
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"{home.name}: installing took longer than {INSTALL_TIMEOUT_S} s") from None
    except OSError as error:
        raise CannotInstall(f"{home.name}: {command[0]} cannot be started: {error.strerror}") from None
    if done.returncode:
        raise CannotInstall(f"{home.name}: {last_line(done.stderr or done.stdout)}")


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no reason given"])[-1][:300]


def package_version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or "unknown"
