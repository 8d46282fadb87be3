"""Reads what the operating system says of processes that may end meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def arguments_of(process: psutil.Process) -> list[str]:
    """Returns the command line; empty for a process that has ended, collected by its parent or not."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Returns the environment; empty for a process that has ended or belongs to another user."""
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return {}


def resident_bytes() -> int:
    """Memory of this process, which is server and client at once."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
