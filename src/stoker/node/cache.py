"""Caches models' files on a node, by content hash: fetches them once, for all workers and servers of this user.

An entry is a folder.  Each process locks it: shared while its worker uses it, exclusively to fill or remove it.  The
kernel releases a lock when its process ends, however it dies.  The next process that gets the exclusive lock removes
what a killed one left half-done.  If a handler has changed files, the first worker that finds the entry unused has them
fetched again; files that a handler added stay, as they would in a local model's folder.

Invariants: an entry is used only after its hash was verified; nothing that a worker uses is removed; nothing is fetched
that exceeds the limit.  All calls block.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stoker.archive import bundle
from stoker.archive.limits import UnpackLimits
from stoker.archive.tar_reader import ByteStream
from stoker.archive.threads import Stop
from stoker.archive.unpack import unpack_stream
from stoker.core.private_folder import InUse, NotOurs, hold, is_ours, remove_tree
from stoker.errors import FilesNotFetched, InvalidArchive
from stoker.node.order import Archive
from stoker.node.verified import Verified

_POLL_S = 0.05
_ENTRY = re.compile(r"[0-9a-f]{64}")
_FILES, _PART, _SIZE, _COMPLETE, _LOCK = "files", "part", "size", "complete", "lock"

_State = tuple[str, int, int, int, int]
"""Name and size of a file, and the numbers that differ once it was written to."""

Open = Callable[[], AbstractContextManager[ByteStream]]
"""Opens the stream of the files from the server."""


@dataclass(frozen=True, slots=True)
class _Idle:
    """An entry that no worker uses."""

    used_at: float
    size: int
    path: Path


class ArchiveCache:
    """``limit_bytes``: of all entries together. ``free_bytes``: returns the free space of a disk; tests replace it."""

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        *,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._root = root
        self._limit = limit_bytes
        self._free_bytes = free_bytes

    @contextmanager
    def lease(self, wanted: Archive, open_stream: Open, *, stop: Stop) -> Iterator[Path]:
        """Yields the directory with the model's files, and keeps it for as long as the lease lasts.

        Raises: FilesNotFetched, Stopped, and what ``open_stream`` raises; nothing of the attempt is left then.
        """
        if not _ENTRY.fullmatch(wanted.hash) or wanted.name in ("", ".", "..") or "/" in wanted.name:
            raise FilesNotFetched("The order names no archive.")
        try:
            entry, lock = self._held(wanted, open_stream, stop)
        except NotOurs:
            raise FilesNotFetched("The archive cache of the node is not a folder of this user alone.") from None
        except InvalidArchive as error:
            raise FilesNotFetched(f"The model's files were refused by the node: {error.message}") from None
        except OSError as error:
            raise FilesNotFetched(_disk_problem(error)) from error
        with _closing(lock):
            _touch(entry)
            yield entry / _FILES / wanted.name
            _touch(entry)

    # --------------------------------------------------------------------------------------------- the two locks

    def _held(self, wanted: Archive, open_stream: Open, stop: Stop) -> tuple[Path, int]:
        """Returns the complete entry and the shared lock on it."""
        self._open_root()
        entry = self._root / wanted.hash
        while True:
            stop.check()
            entry.mkdir(mode=0o700, exist_ok=True)
            try:
                alone = hold(entry, must_lock=True)
            except FileNotFoundError:
                continue  # removed a moment ago
            except InUse:
                lock = _shared(entry)
            else:
                lock = self._filled(entry, alone, wanted, open_stream, stop)
            if lock is not None:
                return entry, lock
            time.sleep(_POLL_S)  # another process is filling it

    def _filled(self, entry: Path, alone: int, wanted: Archive, open_stream: Open, stop: Stop) -> int | None:
        """Fills an entry that is locked exclusively unless it is intact, then returns a shared lock; None: another
        process took the entry in between."""
        try:
            if not _is_pristine(entry):
                self._fill(entry, wanted, open_stream, stop)
        except BaseException:
            remove_tree(entry)
            os.close(alone)
            raise
        return _downgraded(entry, alone)

    def _open_root(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_ours(self._root):
            raise NotOurs(errno.EPERM, "it is not a folder of this user alone")

    # --------------------------------------------------------------------------------------------- a new entry

    def _fill(self, entry: Path, wanted: Archive, open_stream: Open, stop: Stop) -> None:
        for leftover in list(entry.iterdir()):
            remove_tree(leftover) if leftover.is_dir() else leftover.unlink()
        self._reserve(entry, wanted, stop)
        part = entry / _PART
        with open_stream() as source:
            stream = Verified(source, size=wanted.size, digest=wanted.hash)
            unpack_stream(stream, part, size=wanted.size, limits=UnpackLimits(total_bytes=wanted.size), stop=stop)
            stream.finish()
        (entry / _FILES).mkdir(mode=0o700)
        part.rename(entry / _FILES / wanted.name)
        _write(entry / _COMPLETE, msgspec.json.encode(_states(entry)))

    def _reserve(self, entry: Path, wanted: Archive, stop: Stop) -> None:
        """Removes the least recently used entries until this one fits, and records its size."""
        with self._lock(stop):
            used, idle = self._survey(entry)
            for each in sorted(idle, key=lambda each: each.used_at):
                if used + wanted.size <= self._limit and self._free_bytes(self._root) >= wanted.size:
                    break
                if _removed(each.path):
                    used -= each.size
            if used + wanted.size > self._limit:
                raise FilesNotFetched(_too_large(wanted.size, used, self._limit))
            if self._free_bytes(self._root) < wanted.size:
                raise FilesNotFetched(_disk_full(wanted.size))
            _write(entry / _SIZE, str(wanted.size).encode())

    def _survey(self, own: Path) -> tuple[int, list[_Idle]]:
        """Returns the bytes of all other entries, and those that no worker uses. Removes unfinished ones that no
        process is filling."""
        used, idle = 0, []
        for path in self._root.iterdir():
            if not _ENTRY.fullmatch(path.name) or path == own:
                continue
            size = _size_of(path)
            try:
                lock = hold(path, must_lock=True)
            except InUse:
                used += size
                continue
            except FileNotFoundError:
                continue
            with _closing(lock):
                used_at = _used_at(path)
                if used_at is None:
                    remove_tree(path)
                else:
                    used += size
                    idle.append(_Idle(used_at, size, path))
        return used, idle

    @contextmanager
    def _lock(self, stop: Stop) -> Iterator[None]:
        """Lets only one process at a time free space."""
        fd = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with _closing(fd):
            while True:
                stop.check()
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_POLL_S)
            yield


# ----------------------------------------------------------------------------------------------------- locks


def _shared(entry: Path) -> int | None:
    """Returns a shared lock on an entry that other workers use; None: it is being filled or removed."""
    try:
        lock = hold(entry, must_lock=True, shared=True)
    except (InUse, FileNotFoundError):
        return None
    return _if_complete(entry, lock)


def _downgraded(entry: Path, lock: int) -> int | None:
    """Exchanges an exclusive lock for a shared one; None: another process took the entry, because the kernel releases
    the old lock first."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return _if_complete(entry, lock)


def _if_complete(entry: Path, lock: int) -> int | None:
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(lock), entry.stat()) and (entry / _COMPLETE).exists():
            return lock
    os.close(lock)
    return None


def _removed(entry: Path) -> bool:
    try:
        lock = hold(entry, must_lock=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a worker has started to use it
    with _closing(lock):
        remove_tree(entry)
    return True


@contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


# --------------------------------------------------------------------------------------------- inside an entry


def _is_pristine(entry: Path) -> bool:
    """Tells whether all files are there and unchanged since they were fetched."""
    try:
        came = msgspec.json.decode((entry / _COMPLETE).read_bytes(), type=set[_State])
        return came <= _states(entry)
    except (OSError, InvalidArchive, msgspec.MsgspecError):
        return False


def _states(entry: Path) -> set[_State]:
    return {(member.name, member.size, *member.state) for member in bundle.members_of(entry / _FILES)}


def _used_at(entry: Path) -> float | None:
    """Returns when the entry was last used; None: it is incomplete."""
    try:
        return (entry / _COMPLETE).stat().st_mtime
    except OSError:
        return None


def _touch(entry: Path) -> None:
    with suppress(OSError):
        os.utime(entry / _COMPLETE)


def _size_of(entry: Path) -> int:
    try:
        return int((entry / _SIZE).read_bytes())
    except (OSError, ValueError):
        return 0  # it has not reserved any space yet


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.new")
    part.write_bytes(data)
    part.replace(path)


# ------------------------------------------------------------------------------------------------------ errors


def _too_large(wanted: int, used: int, limit: int) -> str:
    return (
        f"The model's files ({_shown(wanted)}) do not fit into the archive cache of the node: "
        f"{_shown(used)} of {_shown(limit)} are in use. See the setting ray_archive_cache_size."
    )


def _disk_full(wanted: int) -> str:
    return f"The disk of the node is full: the model's files need {_shown(wanted)}."


def _disk_problem(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk of the node is full."
    return f"The archive cache of the node cannot be used: {error.strerror or 'input or output failed'}."


def _shown(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f} GB" if nbytes >= 10**9 else f"{nbytes / 1e6:.1f} MB"
