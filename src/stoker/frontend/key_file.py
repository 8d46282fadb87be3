"""Writes `key_file.json`: the keys of a running server, readable only by its owner.

Invariants: a reader sees the whole old file or the whole new one; only the owner can ever read it; a link in its place
is replaced, never followed.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NAME = "key_file.json"
_OWNER_ONLY = 0o600


class KeyFile:
    """Writes and removes one server's file in ``folder``. Methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._written: bytes | None = None

    def write(self, text: str) -> None:
        temporary = self.path.with_name(f".{NAME}.{secrets.token_hex(8)}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            with os.fdopen(fd, "wb") as stream:
                _make_private(stream.fileno())
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._written = text.encode()
        _sync_folder(self.path.parent)

    def remove(self) -> None:
        """Removes the file, unless it now has another server's keys."""
        written, self._written = self._written, None
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            is_ours = written is not None and os.read(fd, len(written) + 1) == written
        finally:
            os.close(fd)
        if is_ours:
            self.path.unlink(missing_ok=True)


def _make_private(fd: int) -> None:
    """Raises PermissionError if the file system cannot exclude other users."""
    os.fchmod(fd, _OWNER_ONLY)
    if os.fstat(fd).st_mode & 0o077:
        raise PermissionError("the file system cannot keep other users from reading it")


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power failure, if the file system can: the keys are valid without it."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)
