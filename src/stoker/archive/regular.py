"""Opens regular files only: checks the open file, not its name, and does not block on a FIFO."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegular(OSError):
    """The path is a directory, a device, a pipe or a socket."""


def open_regular(path: str | Path) -> BinaryIO:
    """Raises:
    NotRegular, OSError, ValueError
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegular("it is not a file")
    return os.fdopen(fd, "rb")
