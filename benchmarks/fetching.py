"""Installs or unpacks the Debian packages of tools that are not on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stoker.bench.tools import PACKAGES, ToolMissing, find

SERVICES = frozenset({"prometheus"})
"""Packages that start a service when installed: only unpacked, never installed."""
APT_TIMEOUT_S = 300


def find_or_fetch(tool: str, *, home: Path) -> Path:
    """Does the same as `find`, but first installs (as root) or unpacks into ``home`` what is missing."""
    try:
        return find(tool, home=home)
    except ToolMissing:
        _fetch(PACKAGES[tool], home)
        return find(tool, home=home)


def _fetch(package: str, home: Path) -> None:
    """Does nothing without apt: `find` then says what is missing."""
    if shutil.which("apt-get") is None:
        return
    as_root = os.geteuid() == 0
    if as_root and package not in SERVICES:
        _try(["apt-get", "install", "-y", "--no-install-recommends", package])
        return
    downloads = home / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    if not _try(["apt-get", "download", package], cwd=downloads) and as_root:
        _try(["apt-get", "update"])  # a fresh machine has no package lists yet
        _try(["apt-get", "download", package], cwd=downloads)
    for file in downloads.glob(f"{package}_*.deb"):
        _try(["dpkg-deb", "--extract", str(file), str(home)])


def _try(command: Sequence[str], *, cwd: Path | None = None) -> bool:
    """Tells whether it succeeded. `find` reports what is missing, whatever the reason."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=APT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
