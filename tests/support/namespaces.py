"""Runs commands in namespaces of their own: a container without a container runtime, as far as the kernel allows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

IN_CONTAINER = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
LOOPBACK = "ip link set lo up 2>/dev/null || ifconfig lo up"


def unshare(*options: str) -> list[str]:
    """Returns the prefix of a command; skips the test if the kernel refuses."""
    prefix = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), *options]
    refusal = _refusal(tuple(prefix))
    if refusal:
        pytest.skip(f"no namespaces here: {refusal}")
    return prefix


def as_user(user: int) -> list[str]:
    """Returns a prefix that runs a command as another user; skips the test if that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]


def readable_installation() -> str:
    """Shell lines for a mount namespace that make the installation under test readable for every user."""
    lines = []
    for path in {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(__file__).resolve().parents[2]}:
        closed = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001]
        if closed:
            lines += [
                "stage=$(mktemp -d)",
                f"mount --bind {path} $stage",
                f"mount -t tmpfs -o mode=755 none {closed[0]}",
                f"mkdir -p {path}",
                f"mount --bind $stage {path}",
                "umount $stage; rmdir $stage",
            ]
    return "\n".join(lines)


@cache
def _refusal(prefix: Sequence[str]) -> str:
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return "there is no unshare"
    return "" if done.returncode == 0 else done.stderr.strip()
