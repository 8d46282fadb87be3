"""Makes a file appear in the model store in one step.

Until then it is a hidden, locked file; without the lock it is garbage.  The kernel drops the lock with the process, so
`sweep` removes what a killed server left, and nothing that another server (even one in another container on the same
disk) is still writing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from pathlib import Path

from stoker.errors import ArchiveExists

_PREFIX, _SUFFIX = ".stoker-", ".part"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)


class Placement:
    """``with Placement(target) as file: file.write(...); file.commit()``. Without `commit`, nothing stays."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
        self._fd = -1

    def __enter__(self) -> Placement:
        if os.path.lexists(self._target):
            raise ArchiveExists(file=self._target.name)
        self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: only the leftovers of a killed download must be removed by hand
        return self

    def __exit__(self, *_: object) -> None:
        self._part.unlink(missing_ok=True)
        os.close(self._fd)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self) -> Path:
        """Publishes the file. Raises ArchiveExists: another of this name appeared meanwhile, and stays."""
        os.fsync(self._fd)
        try:
            os.link(self._part, self._target)
        except FileExistsError:
            raise ArchiveExists(file=self._target.name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._rename()
        return self._target

    def _rename(self) -> None:
        """Renames the file, for disks without hard links: other programs never see half a file."""
        if os.path.lexists(self._target):
            raise ArchiveExists(file=self._target.name)
        self._part.rename(self._target)


def sweep(store: Path) -> None:
    for part in store.glob(f"{_PREFIX}*{_SUFFIX}"):
        try:
            fd = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)
        except OSError:
            pass  # still being written, or a read-only store
        finally:
            os.close(fd)
