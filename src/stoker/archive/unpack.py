"""Unpacks an archive into a folder of its own, or leaves nothing behind.

The first bytes decide the format, not the file name.  Blocking: runs in a thread, and checks a stop flag between
chunks. Links are never created, so no later member can be written through one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stoker.archive import gunzip, tar_reader, zip_reader
from stoker.archive.limits import Budget, UnpackLimits
from stoker.archive.names import NameTree, refuse, safe_parts
from stoker.archive.progress import Progress
from stoker.archive.tar_reader import ByteStream
from stoker.archive.threads import Stop
from stoker.core.private_folder import remove_tree
from stoker.errors import InvalidArchive

_FEW_FILES = 1000
"""A tar.gz with more members is read to its end before more are written: a refused archive leaves few files."""
_QUIET_S = 2.0
"""Work that takes less time is not logged."""


class Target:
    """The folder being filled, and what was written there so far."""

    def __init__(self, root: Path, budget: Budget, stop: Stop, progress: Progress) -> None:
        self.progress = progress
        self._root = root
        self._names = NameTree()
        self._stop = stop
        self.budget = budget

    def add_folder(self, member: str, parts: tuple[str, ...]) -> None:
        self.budget.count_entry(member)
        if parts:
            self._names.add(parts, directory=True)
            self._root.joinpath(*parts).mkdir(mode=0o700, parents=True, exist_ok=True)

    def add_file(self, member: str, parts: tuple[str, ...], content: Iterable[bytes], *, executable: bool) -> None:
        self.budget.count_entry(member)
        if not parts:
            raise refuse(member, "the name is that of the target itself")
        self._names.add(parts, directory=False)
        path = self._root.joinpath(*parts)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o700 if executable else 0o600), "wb", buffering=0) as file:
            for piece in content:
                self.check_stop()
                _write_all(file, piece)
                self.progress.add(len(piece))

    def check_stop(self) -> None:
        self._stop.check()


def _write_all(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def unpack(
    file: BinaryIO, root: Path, *, limits: UnpackLimits, stop: Stop | None = None, name: str = "an archive"
) -> None:
    """Unpacks into ``root``, which must not exist yet and is private to this user. ``name``: of the archive, in the
    log.

    Raises: UnsafeArchive, InvalidArchive, OSError, Stopped: nothing is left of ``root`` then.
    """
    with _new_folder(root):
        budget = Budget(limits, os.fstat(file.fileno()).st_size)
        target = Target(root, budget, stop or Stop(), Progress(name, doing="Unpacking", quiet_s=_QUIET_S))
        _fill(target, file, limits)


def unpack_stream(stream: ByteStream, root: Path, *, size: int, limits: UnpackLimits, stop: Stop | None = None) -> None:
    """Unpacks a plain tar of ``size`` bytes while it arrives, to its end.

    Raises: UnsafeArchive, InvalidArchive, OSError, Stopped, and what the stream raises: as `unpack`.
    """
    with _new_folder(root):
        progress = Progress("a model", size, doing="Fetching", quiet_s=_QUIET_S)
        target = Target(root, Budget(limits, size), stop or Stop(), progress)
        for member, content in tar_reader.read_members(stream):
            _add_member(target, member, content)


@contextmanager
def _new_folder(root: Path) -> Iterator[None]:
    root.mkdir(mode=0o700)
    try:
        yield
    except BaseException:
        remove_tree(root)
        raise


def _fill(target: Target, file: BinaryIO, limits: UnpackLimits) -> None:
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if zip_reader.is_zip(head):
        _unpack_zip(target, file, limits)
    elif gunzip.is_gzip(head):
        _unpack_tar(target, file, limits)
    else:
        raise InvalidArchive("The archive is neither a zip file nor a tar.gz file.")


def _unpack_zip(target: Target, file: BinaryIO, limits: UnpackLimits) -> None:
    members = zip_reader.read_members(file, max_entries=limits.entries)
    target.progress.total = sum(member.size for member in members)
    for member in members:
        target.check_stop()
        parts = safe_parts(member.name)
        if member.directory:
            target.add_folder(member.name, parts)
        else:
            content = _counted(target.budget, file, member)
            target.add_file(member.name, parts, content, executable=bool(member.mode & 0o100))


def _counted(budget: Budget, file: BinaryIO, member: zip_reader.ZipMember) -> Iterable[bytes]:
    unpacked = 0
    for piece, packed in zip_reader.read_chunks(file, member):
        unpacked += len(piece)
        budget.count_bytes(member.name, len(piece), unpacked=unpacked, packed=packed)
        yield piece


def _unpack_tar(target: Target, file: BinaryIO, limits: UnpackLimits) -> None:
    meter = _TarMeter(target.budget, target.check_stop)
    stream = gunzip.Gunzip(file, meter.on_read)
    for number, (member, content) in enumerate(tar_reader.read_members(stream)):
        if number == _FEW_FILES:
            _count_tar(target, file, limits)
        meter.begin(member.name, stream)
        _add_member(target, member, content)


def _add_member(target: Target, member: tar_reader.TarMember, content: Iterable[bytes]) -> None:
    if member.directory:
        target.add_folder(member.name, member.parts)
    else:
        target.add_file(member.name, member.parts, content, executable=member.executable)


def _count_tar(target: Target, file: BinaryIO, limits: UnpackLimits) -> None:
    """Reads the whole archive once in advance, before writing many files that might have to be removed again."""
    at = file.tell()
    file.seek(0)
    budget = Budget(limits, os.fstat(file.fileno()).st_size)
    meter = _TarMeter(budget, target.check_stop)
    stream = gunzip.Gunzip(file, meter.on_read)
    for name in tar_reader.read_names(stream):
        budget.count_entry(name)
        meter.begin(name, stream)
    file.seek(at)


class _TarMeter:
    """Charges everything that leaves the gzip stream, headers and padding included, to the current member."""

    def __init__(self, budget: Budget, check_stop: Callable[[], None]) -> None:
        self._budget = budget
        self._check_stop = check_stop
        self._member = "(archive)"
        self._unpacked_before = self._packed_before = self._seen = 0

    def begin(self, member: str, stream: gunzip.Gunzip) -> None:
        """Begins a member. What is packed of it may have been read ahead, up to `gunzip.READ_BYTES`."""
        self._member = member
        self._unpacked_before, self._packed_before = stream.unpacked, max(0, stream.packed - gunzip.READ_BYTES)

    def on_read(self, unpacked: int, packed: int) -> None:
        self._check_stop()
        nbytes, self._seen = unpacked - self._seen, unpacked
        mine, mine_packed = unpacked - self._unpacked_before, packed - self._packed_before
        self._budget.count_bytes(self._member, nbytes, unpacked=mine, packed=mine_packed)
