"""Opens regular files only, also as a download source: for ``file://`` URLs that the operator allows."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegular(OSError):
    """The path is a directory, a device, a pipe or a socket."""


def open_regular(path: str | Path) -> BinaryIO:
    """Raises NotRegular, OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegular("it is not a file")
    return os.fdopen(fd, "rb")


class FileSource:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._read = 0
        self.length = os.fstat(file.fileno()).st_size

    @classmethod
    def open(cls, path: str) -> FileSource:
        """Opens the file. Raises OSError, ValueError: it does not exist, or is not a regular file."""
        return cls(open_regular(path))

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        return data

    @property
    def complete(self) -> bool:
        return self._read == self.length

    def close(self) -> None:
        """Idempotent."""
        self._file.close()
