"""Checks every few seconds whether files have changed, because mounted secrets and certificates are renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

INTERVAL_S = 2.0

_Seen = tuple[tuple[int, ...] | None, ...]


class FileWatch:
    """Calls ``changed``, in a thread, after any of ``paths`` was replaced or has new content.

    Also calls it once at the start, because files may have changed since they were first read.
    """

    def __init__(self, paths: Sequence[Path], changed: Callable[[], None], *, interval_s: float = INTERVAL_S) -> None:
        self._paths = paths
        self._changed = changed
        self._interval_s = interval_s
        self._seen: _Seen | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> FileWatch:
        self._task = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def check(self) -> None:
        """Calls ``changed`` if any file has. Follows links, because a mounted secret is a link that is retargeted."""
        now = tuple(_state(path) for path in self._paths)
        if now != self._seen:
            self._seen = now
            self._changed()

    async def _watch(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.check)
            except Exception:
                log.exception("Could not check the files of certificates and tokens for changes")
            await asyncio.sleep(self._interval_s)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
