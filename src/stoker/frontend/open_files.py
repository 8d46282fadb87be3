"""Limits connections so that they fit in the process's limit of open files, with room for workers, archives and logs.

At that limit anything may fail: a worker's restart, a log file.  So the connections of each listener stop below it.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

_LISTENERS = 5
_FOR_CONNECTIONS = 0.75
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


def connections_of_each_listener(most: int) -> int:
    """Returns ``most``, or less if the limit of open files is low, with a log line."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return most
    share = within(most, limit)
    if share < most:
        log.info("max_connections is %d instead of %d: the process may have %d open files", share, most, limit)
    return share


def within(most: int, open_files: int) -> int:
    """Returns an equal share for each listener, so that none takes the others' connections."""
    return min(most, max(_LEAST, int(open_files * _FOR_CONNECTIONS) // _LISTENERS))
