"""Names of snapshot files, which record the order in which the files were written.  PURE.

``<yyyyMMddHHmmssSSS>-startup.cfg``, ``-snapshot.cfg`` or ``-shutdown.cfg``, in the folder ``config`` of the logs.
The order is that of the names, not of the files' times: copying a folder changes those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

KINDS = ("startup", "snapshot", "shutdown")
FOLDER = "config"

_NAME = re.compile(rf"([0-9]{{17}})-(?:{'|'.join(KINDS)})\.cfg")
_STEP = timedelta(milliseconds=1)


def folder_of(log_location: Path) -> Path:
    return log_location / FOLDER


def written_at(name: str) -> datetime | None:
    """Returns the local time in the name, None for other files."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%d%H%M%S%f")
    except ValueError:
        return None


def newest_first(names: Iterable[str]) -> list[str]:
    dated = [(at, name) for name in names if (at := written_at(name)) is not None]
    return [name for _, name in sorted(dated, reverse=True)]


def next_name(kind: str, now: datetime, names: Iterable[str]) -> str:
    """Makes a name that sorts after all others, even if the clock was set back."""
    newest = newest_first(names)
    last = written_at(newest[0]) if newest else None
    at = now if last is None else max(now, last + _STEP)
    return f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}-{kind}.cfg"
