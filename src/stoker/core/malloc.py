"""Configures glibc's malloc, through the environment in which a process starts.  PURE.

By default malloc gets every large buffer from the kernel, 4 KiB and one page fault at a time, and returns it at once: a
forward pass spends up to a third of its time on that.  Pages of 2 MiB, and keeping memory for the next pass, avoid it.
Other C libraries ignore the variable; glibc before 2.35 ignores the page size.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"

_HUGE_PAGES = "glibc.malloc.hugetlb=1"
SERVER = _HUGE_PAGES
WORKER = ":".join(
    (
        _HUGE_PAGES,
        f"glibc.malloc.mmap_threshold={32 << 20}",  # the most that malloc allows
        f"glibc.malloc.trim_threshold={256 << 20}",
    )
)


def for_server(inherited: Mapping[str, str]) -> str | None:
    """Returns the value to set for the server's own process; None: it has one already."""
    return None if VARIABLE in inherited else SERVER


def for_worker(inherited: Mapping[str, str]) -> str:
    """Returns the value for a worker. Keeps the operator's own setting, even an empty one."""
    theirs = inherited.get(VARIABLE, SERVER)
    return WORKER if theirs == SERVER else theirs
