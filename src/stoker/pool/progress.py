"""Makes and reads the progress marker: eight bytes of shared memory where a worker stores the id of each batch that it
begins.

The server reads it after the worker has died, so it must be correct at every instant.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile

PROGRESS_BYTES = 8
_PROGRESS = struct.Struct("<Q")
_UNKNOWN = (1 << 64) - 1


def progress_marker() -> int:
    """Returns a descriptor of eight zero bytes, sealed so that a worker cannot resize them."""
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.TemporaryFile(buffering=0) as file:
            file.truncate(PROGRESS_BYTES)
            return os.dup(file.fileno())
    fd = os.memfd_create("stoker-progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PROGRESS_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def progress_of(fd: int) -> int | None:
    """Reads the id of the newest batch that a process has begun; 0: none, None: unknown."""
    data = os.pread(fd, PROGRESS_BYTES, 0)
    number = int(_PROGRESS.unpack(data)[0]) if len(data) == PROGRESS_BYTES else _UNKNOWN
    return None if number == _UNKNOWN else number


def record_progress(fd: int, number: int | None) -> None:
    """Stores the progress that another machine reports of its process. None: unknown."""
    os.pwrite(fd, _PROGRESS.pack(_UNKNOWN if number is None else number), 0)
