"""Limits connections so that they fit in the process's limit of open files, with room for workers, archives and logs.

At that limit anything may fail: a worker's restart, a log file.  So the connections of all listeners together stay
below it.  Any listener may have most of them; a part is kept for each, so that many clients on one port do not lock out
those of the others.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

_LISTENERS = 5
_FOR_CONNECTIONS = 0.75
_KEPT_FOR_EACH = 0.05  # of those for connections
_LEAST = 8
_ENOUGH = 1 << 20
"""A higher limit would only slow programs that close every possible descriptor."""


def raise_limit() -> None:
    """Raises the limit as far as the process may, as Java's virtual machine does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.info("The limit of open files stays at %d: %s", soft, error)


class OpenFiles:
    """Shares out the connections that all listeners may have together, ``most``."""

    def __init__(self, most: int, listeners: int = _LISTENERS) -> None:
        self._kept = max(1, min(most // listeners, max(_LEAST, int(most * _KEPT_FOR_EACH))))
        self.free = most  # including what is kept
        self.reserved = self._kept * listeners  # kept for listeners that do not use it

    @property
    def of_one(self) -> int:
        """Returns how many connections a listener without any may open now."""
        return self.free - self.reserved + self._kept

    def share(self) -> FileShare:
        return FileShare(self, self._kept)


class FileShare:
    """Counts one listener's files: those kept for it, and others that are kept for no listener."""

    __slots__ = ("_all", "_kept", "taken")

    def __init__(self, files: OpenFiles, kept: int) -> None:
        self._all = files
        self._kept = kept
        self.taken = 0

    @property
    def has_room(self) -> bool:
        return self.taken < self._kept or self._all.free > self._all.reserved

    def take(self) -> None:
        self.taken += 1
        self._all.free -= 1
        if self.taken <= self._kept:
            self._all.reserved -= 1

    def give(self) -> None:
        if self.taken <= self._kept:
            self._all.reserved += 1
        self.taken -= 1
        self._all.free += 1


def for_connections(most: int) -> OpenFiles | None:
    """Returns the files that the listeners share; None: no limit. Logs if a listener may have fewer than ``most``
    connections.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    possible = of_one_listener(limit)
    if possible < most:
        text = "A listener may have %d connections instead of %d: the process may have %d open files"
        log.info(text, possible, most, limit)
    return OpenFiles(_within(limit))


def of_one_listener(open_files: int) -> int:
    """Returns how many connections one listener may have while the others have none."""
    return OpenFiles(_within(open_files)).of_one


def _within(open_files: int) -> int:
    return max(_LEAST * _LISTENERS, int(open_files * _FOR_CONNECTIONS))
