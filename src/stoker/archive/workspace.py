"""The folder ``<tmp>/models`` in which unpacked models live, one sub-folder (or symbolic link) of 32 hex digits each.

Laws: the folder belongs to this user and nobody else can write there, or it is not used, since model code runs from
it.  What a server that was killed left behind is removed by the next one, told apart from the folders of a living
server by a lock on the folder, which the kernel drops with the process.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from pathlib import Path

from stoker.archive.unpack import remove_tree
from stoker.errors import ConfigurationError

_ROOT_NAME = re.compile(r"[0-9a-f]{32}(\.gone|\.venv)*")
_LOCK_NAME = ".lock"


class Workspace:
    def __init__(self, temp_dir: Path) -> None:
        self._folder = temp_dir / "models"
        self._lock_fd: int | None = None

    def open(self) -> None:
        """Idempotent.

        Raises:
            ConfigurationError: the folder is not safe to use, or cannot be made.
        """
        if self._lock_fd is not None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(self._folder)
            self._lock_fd = self._lock()
        except OSError as error:
            raise ConfigurationError(f"Cannot use the temp directory {self._folder}: {error.strerror}") from error

    def close(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def new_root(self) -> Path:
        """A name that nothing has yet."""
        return self._folder / secrets.token_hex(16)

    def _lock(self) -> int:
        fd = os.open(self._folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # another server lives here: its folders are not ours to judge
        else:
            self._sweep()
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd

    def _sweep(self) -> None:
        for entry in self._folder.iterdir():
            if _ROOT_NAME.fullmatch(entry.name):
                remove_tree(entry)


def _check_private(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigurationError(
            f"The temp directory {folder} must be a directory of the user that runs the server, "
            "not writable by others: model code is run from it."
        )
