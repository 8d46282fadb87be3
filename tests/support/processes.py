"""Reads what the operating system says of processes that may end meanwhile."""

from __future__ import annotations

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
