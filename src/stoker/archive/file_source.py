"""Reads a regular file as a download source, for ``file://`` URLs that the operator allows."""

from __future__ import annotations

import os
from types import TracebackType
from typing import BinaryIO

from stoker.archive.regular import open_regular


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

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
