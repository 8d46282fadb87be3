"""Limits connections so that they fit in the process's limit of open files, with room for workers, archives and logs.

At that limit anything may fail: a worker's restart, a log file.  So the connections of all listeners together stop
below it.  Any listener may have most of them; a part is kept for each, so that a crowd on one port does not close the
others.
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
"""More only slows programs that close every possible descriptor."""


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
    """The connections that all listeners may have together."""

    def __init__(self, most: int, listeners: int = _LISTENERS) -> None:
        self._kept = max(1, min(most // listeners, max(_LEAST, int(most * _KEPT_FOR_EACH))))
        self.free = most  # including what is kept
        self.reserved = self._kept * listeners  # kept for listeners that do not use it

    @property
    def of_one(self) -> int:
        """Returns how many more one listener may have that has none."""
        return self.free - self.reserved + self._kept

    def share(self) -> Share:
        return Share(self, self._kept)


class Share:
    """One listener's share: the files reserved for it, and those that no other reserves."""

    __slots__ = ("_all", "_kept", "taken")

    def __init__(self, every: OpenFiles, kept: int) -> None:
        self._all = every
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
    """Returns what the listeners share, with a log line if one of them may have fewer than ``most``; None: no limit."""
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
