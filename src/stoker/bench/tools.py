"""Finds load generators and the like: on PATH, or unpacked from their Debian packages into a folder of our own."""

from __future__ import annotations

import shutil
from pathlib import Path

from stoker.errors import StokerError

PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk", "prometheus": "prometheus"}


class ToolMissing(StokerError):
    """{tool} is not on PATH. It is in the Debian and Ubuntu package {package}: apt-get install {package}"""


def find(tool: str, *, home: Path | None = None) -> Path:
    """Finds a tool. Raises ToolMissing. ``home``: where packages were unpacked."""
    unpacked = home / "usr" / "bin" / tool if home else None
    if unpacked is not None and unpacked.exists():
        return unpacked
    found = shutil.which(tool)
    if found is None:
        raise ToolMissing(tool=tool, package=PACKAGES[tool])
    return Path(found)
