"""Allows one server per temp folder: a lock held by the living process, a record of which process that is, and a pid
file for `--stop`, `kill $(cat FILE)` and TorchServe's tools.

The lock decides, so two starts at the same time cannot both win. It is on the private folder ``.model_server-<user
id>``, whose record tells the server from a later process with the same pid; both are removed with the server.

Files of other users are ignored, except that a pid file may name a living server if its owner also owns that process.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from stoker.cli.process_id import Identity, is_java_torchserve, is_server, own_identity
from stoker.core import private_folder
from stoker.errors import StartupError

ALREADY_RUNNING = "TorchServe is already running, please use torchserve --stop to stop TorchServe."
_PID_FILE = ".model_server.pid"
_RECORD = "server"
_MOST_CANDIDATES = 100  # names for the private folder; other users may have taken the first ones
_HANDOVER_S = 1.0  # for a server that has just ended, or a --stop that cleans up
_POLL_S = 0.05


class Instance:
    """One process's claim on a temp folder."""

    def __init__(self, temp_dir: Path) -> None:
        self.temp_dir = temp_dir
        self.pid_file = temp_dir / _PID_FILE
        self._folder: Path | None = None
        self._lock: int | None = None
        self._written = False

    def claim(self) -> bool:
        """Takes the lock, writes record and pid file. True: an orphaned pid file was removed. Raises StartupError."""
        try:
            self._acquire(_HANDOVER_S)
            self._refuse_if_running()
            self._write_record()
            orphan = self._remove_pid_file()
            self._write_pid_file()
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                raise StartupError(
                    f"Cannot claim the temp folder {self.temp_dir}: {error.strerror}. Set TEMP to a folder of your own."
                ) from None
            raise
        return orphan

    @property
    def has_pid_file(self) -> bool:
        """Returns False if another user's old file is in the way and cannot be removed."""
        return self._written

    def running(self) -> Identity | None:
        """Returns the living server of this temp folder, None if there is none."""
        return self._recorded(os.geteuid()) or self._named_by_pid_file()

    def remove_orphan(self) -> bool:
        """Removes what a killed server of this user left. Returns True if there was a pid file. Never fails."""
        try:
            self._acquire(0)
        except (OSError, StartupError):
            return False  # a server is starting or running, or there is nothing we may touch
        try:
            is_orphan = self.running() is None and _owner(self.pid_file) == os.geteuid()
            return is_orphan and self._remove_pid_file()
        finally:
            self.release()

    def release(self) -> None:
        """Removes what `claim` created. Idempotent."""
        written, self._written = self._written, False
        if written and _content(self.pid_file, os.geteuid()) == _own_pid():
            self._remove_pid_file()
        if self._folder is not None:
            private_folder.remove_tree(self._folder)
        if self._lock is not None:
            os.close(self._lock)
        self._folder = self._lock = None

    # -------------------------------------------------------------------------------------------- the lock

    def _acquire(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not self._try_acquire():
            if time.monotonic() >= end or self._recorded(os.geteuid()) is not None:
                raise StartupError(ALREADY_RUNNING)
            time.sleep(_POLL_S)

    def _try_acquire(self) -> bool:
        """Tries to take the lock. False: another process holds it."""
        for folder in (*self._folders(os.geteuid()), *self._candidates()):
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
            except FileExistsError:
                continue  # another user was faster
            try:
                self._lock = private_folder.hold(folder)
            except private_folder.NotOurs:
                continue
            except (FileNotFoundError, private_folder.InUse):
                return False  # FileNotFoundError: its server ended just now
            self._folder = folder
            return True
        raise StartupError(f"Every name for a private folder in {self.temp_dir} is taken. Set TEMP to another folder.")

    def _candidates(self) -> Iterator[Path]:
        name = f".model_server-{os.geteuid()}"
        yield from (self.temp_dir / (f"{name}.{number}" if number else name) for number in range(_MOST_CANDIDATES))

    def _folders(self, user: int) -> list[Path]:
        """Returns the existing folders of this user: usually one, unless other users took names."""
        name = re.compile(rf"\.model_server-{user}(\.\d+)?")
        try:
            return sorted(
                path for path in self.temp_dir.iterdir() if name.fullmatch(path.name) and _owner(path) == user
            )
        except OSError:
            return []  # the caller reports it

    # ---------------------------------------------------------------------------------- record and pid file

    def _refuse_if_running(self) -> None:
        running = self.running()
        if running is None:
            return
        owner = running.owner()
        whose = "" if owner in (None, os.geteuid()) else " It is another user's: set TEMP to a folder of your own."
        raise StartupError(ALREADY_RUNNING + whose)

    def _recorded(self, user: int) -> Identity | None:
        for folder in self._folders(user):
            recorded = Identity.parse(_content(folder / _RECORD, user) or "")
            if recorded is not None and Identity.of(recorded.pid) == recorded:
                return recorded
        return None

    def _named_by_pid_file(self) -> Identity | None:
        """Returns a server of TorchServe's or of another user that the pid file names.

        If the record can be read, it shows whether the pid was reused; if not, the process belongs to a user who could
        not be stopped anyway.
        """
        owner = _owner(self.pid_file)
        try:
            identity = Identity.of(int((_content(self.pid_file, owner) or "").strip()))
        except ValueError:
            return None
        if identity is None or owner is None or identity.owner() != owner:
            return None
        if is_java_torchserve(identity.pid) or identity == self._recorded(owner):
            return identity
        return identity if os.geteuid() not in (0, owner) and is_server(identity.pid) else None

    def _write_record(self) -> None:
        assert self._folder is not None
        (self._folder / _RECORD).unlink(missing_ok=True)
        _write_new(self._folder / _RECORD, own_identity().text())

    def _write_pid_file(self) -> None:
        """Readers never find it empty, except on a file system without hard links."""
        assert self._folder is not None
        whole = self._folder / "pid"
        whole.unlink(missing_ok=True)
        _write_new(whole, _own_pid())
        try:
            _link_or_write(whole, self.pid_file)
            self._written = True
        except FileExistsError:
            pass  # another user's file, which does no other harm

    def _remove_pid_file(self) -> bool:
        """Returns True if there was one."""
        try:
            self.pid_file.unlink()
        except OSError:
            return False
        return True


def _own_pid() -> str:
    return f"{os.getpid()}\n"


def _write_new(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="ascii") as file:
        file.write(text)


def _link_or_write(source: Path, path: Path) -> None:
    """Raises FileExistsError."""
    try:
        path.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        _write_new(path, source.read_text())


def _content(path: Path, owner: int | None) -> str | None:
    """Returns the content of a regular file of ``owner``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
            return None
        return os.read(fd, 4096).decode("ascii", "replace")
    finally:
        os.close(fd)


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None
