"""Settings of glibc's malloc, read from the environment when a process starts.  PURE.

malloc takes large buffers from the kernel each time anew, 4 KiB and one page fault at a time, and gives them back at
once: a forward pass spends up to a third of its time there.  Pages of 2 MiB and memory that is kept
for the next pass end that.  Other C libraries, and glibc before 2.35 for the pages, ignore it.
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
    """Returns the value that the server's own process lacks; None: it has one."""
    return None if VARIABLE in inherited else SERVER


def for_worker(inherited: Mapping[str, str]) -> str:
    """Keeps the operator's own setting, the empty one included."""
    theirs = inherited.get(VARIABLE, SERVER)
    return WORKER if theirs == SERVER else theirs
