"""One server per temp folder: a lock that only a living process holds, and a pid file that says which one.

The lock decides, so two starts at the same moment cannot both win.  The pid file is for `--stop` and for tools that
read TorchServe's: its first line is the pid; the second tells this process from a later one with the same number.
A pid file counts only if its owner also owns the process, since temp folders are often everybody's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from stoker.cli.process_id import Identity, is_java_torchserve, own_identity
from stoker.errors import StartupError

ALREADY_RUNNING = "TorchServe is already running, please use torchserve --stop to stop TorchServe."
_PID_FILE = ".model_server.pid"
_LOCK_FILE = ".model_server.lock"


class Instance:
    """The claim of one process on a temp folder."""

    def __init__(self, temp_dir: Path) -> None:
        self.pid_file = temp_dir / _PID_FILE
        self._lock_file = temp_dir / _LOCK_FILE
        self._lock: int | None = None

    def claim(self) -> bool:
        """Takes the lock and writes the pid file; whether an orphan pid file had to be removed.

        Raises:
            StartupError: a server is running, or the temp folder cannot be used.
        """
        try:
            self._lock = _locked(self._lock_file)
            if self.running() is not None:
                raise StartupError(ALREADY_RUNNING)
            orphan = self.remove_orphan()
            self._write(own_identity())
        except OSError as error:
            self.release()
            raise StartupError(
                f"Cannot claim the temp folder {self.pid_file.parent}: {error.strerror}. "
                "Set TEMP to a folder of your own."
            ) from None
        except StartupError:
            self.release()
            raise
        return orphan

    def running(self) -> Identity | None:
        """The live server that the pid file names; None when there is none."""
        recorded = self._recorded()
        if recorded is None:
            return None
        (pid, mark), file_owner = recorded
        identity = Identity.of(pid)
        if identity is None or identity.owner() != file_owner:
            return None
        is_ours = mark == _mark(identity) if mark else is_java_torchserve(pid)
        return identity if is_ours else None

    def remove_orphan(self) -> bool:
        """Removes a pid file; whether there was one. Only for who knows that no server is running."""
        try:
            self.pid_file.unlink()
        except FileNotFoundError:
            return False
        return True

    def release(self) -> None:
        """Idempotent. The lock file stays: removing it would let two processes lock two files of one name."""
        if self._lock is None:
            return
        recorded = self._recorded()
        if recorded is not None and recorded[0] == (os.getpid(), _mark(own_identity())):
            self.remove_orphan()
        os.close(self._lock)
        self._lock = None

    def _recorded(self) -> tuple[tuple[int, str], int] | None:
        """((pid, mark), owner of the file); None when there is no file that can be understood."""
        try:
            with self.pid_file.open("rb") as file:
                owner = os.fstat(file.fileno()).st_uid
                lines = file.read(4096).decode("ascii", "replace").splitlines()
            return (int(lines[0]), lines[1].strip() if len(lines) > 1 else ""), owner
        except (OSError, ValueError, IndexError):
            return None

    def _write(self, identity: Identity) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.pid_file, flags, 0o644), "w") as file:
            file.write(f"{identity.pid}\n{_mark(identity)}\n")


def _mark(identity: Identity) -> str:
    return f"stoker {identity.started} {identity.boot}"


def _locked(path: Path) -> int:
    """Not inherited by child processes: a worker that outlives the server must not look like one."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StartupError(ALREADY_RUNNING) from None
    except OSError:
        os.close(fd)
        raise
    return fd
