"""A regular file as the source of a download, for ``file://`` urls that the operator allowed."""

from __future__ import annotations

import os
import stat
from types import TracebackType


class FileSource:
    def __init__(self, fd: int, length: int) -> None:
        self._fd = fd
        self._read = 0
        self.length = length

    @classmethod
    def open(cls, path: str) -> FileSource:
        """Raises:
        OSError, ValueError: there is no such file, or it is something else.
        """
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise ValueError("it is not a file")
        return cls(fd, found.st_size)

    def read(self, size: int) -> bytes:
        data = os.read(self._fd, size)
        self._read += len(data)
        return data

    @property
    def complete(self) -> bool:
        return self._read == self.length

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
