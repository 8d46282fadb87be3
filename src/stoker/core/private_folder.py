"""Makes private folders in a place that all users can write to, each locked by the process that uses it.

Invariants: a folder is used only if it is a real folder, belongs to this user, and no one else can write to it; links
are never followed.  The lock is on the folder itself and ends with the process, however it dies, so its next holder
knows that no process uses the folder.  systemd-tmpfiles, which removes old files from /tmp, leaves locked folders
alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

_RANDOM_BYTES = 8
_TRIES = 100


class NotOurs(OSError):
    """The path is something that this user cannot trust."""


class InUse(OSError):
    """A running process holds the folder."""


class PrivateFolder:
    """A folder with an unpredictable name in ``parent``, which is created if it is missing.

    `open` removes what killed processes of this user have left there, and raises OSError; `close` removes the folder.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        assert self._path is not None
        return self._path

    @property
    def is_open(self) -> bool:
        return self._path is not None

    def open(self) -> Path:
        self._parent.mkdir(parents=True, exist_ok=True)
        sweep(self._parent)
        for _ in range(_TRIES):
            path = self._parent / f"{_prefix()}{secrets.token_hex(_RANDOM_BYTES)}"
            try:
                path.mkdir(mode=0o700)
                self._lock = hold(path)
            except (FileExistsError, FileNotFoundError, InUse):
                continue  # the name is taken, or another process swept the folder before it was locked
            self._path = path
            return path
        raise FileExistsError(errno.EEXIST, "no name is free", str(self._parent))

    def close(self) -> None:
        """Removes the folder. Idempotent."""
        path, self._path = self._path, None
        if path is not None:
            remove_tree(path)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def sweep(parent: Path) -> None:
    """Removes this user's folders that no running process holds."""
    name = re.compile(re.escape(_prefix()) + f"[0-9a-f]{{{2 * _RANDOM_BYTES}}}")
    for entry in list(parent.iterdir()):
        if not name.fullmatch(entry.name):
            continue
        try:
            lock = hold(entry, must_lock=True)
        except OSError:
            continue
        remove_tree(entry)
        os.close(lock)


def hold(path: Path, *, must_lock: bool = False, shared: bool = False) -> int:
    """Returns a descriptor that holds the folder until it is closed; child processes do not inherit it.

    ``must_lock``: fail if the file system has no locks; otherwise the folder is then held without one.
    ``shared``: others may hold it at the same time, if they share it too.

    Raises: InUse, NotOurs, OSError; FileNotFoundError also if the folder was removed or replaced in between.
    """
    _check(path, path.lstat())
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(fd))
        _lock(fd, must_lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(fd), path.lstat()):
            raise FileNotFoundError(errno.ENOENT, "it was replaced", str(path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_ours(path: Path) -> bool:
    try:
        _check(path, path.lstat())
    except (OSError, NotOurs):
        return False
    return True


def remove_tree(path: Path) -> None:
    """Removes a folder, even one that a handler has made read-only; of a symbolic link, only the link."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)


def _prefix() -> str:
    return f"stoker-{os.geteuid()}-"


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NotOurs(errno.EPERM, "it is not a folder of this user alone", str(path))


def _lock(fd: int, must_lock: bool, kind: int) -> None:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(errno.EBUSY, "a living process holds it") from None
    except OSError:  # NFS and the like
        if must_lock:
            raise
