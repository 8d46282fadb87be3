"""Writes archives in TorchServe's four formats.  The same files give the same archive: members are in the order of
their names, the manifest first, owners are left out, and with ``SOURCE_DATE_EPOCH`` set the times are fixed too.

Invariant: the target appears whole or not at all, and an old one stays until the new one is complete.
"""

from __future__ import annotations

import gzip
import io
import os
import secrets
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from stoker.archive.contents import Contents
from stoker.archive.manifest import MANIFEST_PATH
from stoker.core.private_folder import remove_tree
from stoker.errors import ArchiveNotBuilt

SUFFIXES = {"default": ".mar", "zip-store": ".mar", "tgz": ".tar.gz", "no-archive": ""}

Count = Callable[[int], None]

_COPY_BYTES = 1 << 20
_FIRST_ZIP_YEAR = (1980, 1, 1, 0, 0, 0)
_LAST_ZIP_YEAR = (2107, 12, 31, 23, 59, 58)


def _uncounted(number: int) -> None:
    """Counts nothing, for callers that show no progress."""


class _Counted:
    """A file that reports how many bytes were read."""

    def __init__(self, file: BinaryIO, count: Count) -> None:
        self._file = file
        self._count = count

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._count(len(data))
        return data


class _Manifest(NamedTuple):
    path: str
    data: bytes


def write_archive(
    target: Path,
    contents: Contents,
    manifest: str,
    *,
    archive_format: str,
    name: str,
    count: Count = _uncounted,
    manifest_path: str = MANIFEST_PATH,
) -> None:
    """Writes an archive.

    ``name``: the model's name, top folder of a tar.gz. ``count`` is called with the bytes read.

    Raises: ArchiveNotBuilt: the disk is full or fails.  OSError: a file cannot be read or made; names it.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        _WRITERS[archive_format](part, contents, _Manifest(manifest_path, manifest.encode()), name, count)
        _put_in_place(part, target)
    except OSError as error:
        if error.filename is not None:
            raise
        raise ArchiveNotBuilt(f"Cannot write {target}: {error.strerror or error}") from error
    finally:
        remove_tree(part) if part.is_dir() else part.unlink(missing_ok=True)


def now() -> float:
    """Returns the time to stamp archives with."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def _put_in_place(part: Path, target: Path) -> None:
    if not target.is_dir() or target.is_symlink():
        part.replace(target)
        return
    old = part.with_suffix(".old")
    target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _file_time(stamp: float) -> float:
    return now() if os.environ.get("SOURCE_DATE_EPOCH") else stamp


def _write_deflated(part: Path, contents: Contents, manifest: _Manifest, _name: str, count: Count) -> None:
    _write_zip(part, contents, manifest, zipfile.ZIP_DEFLATED, count)


def _write_stored(part: Path, contents: Contents, manifest: _Manifest, _name: str, count: Count) -> None:
    _write_zip(part, contents, manifest, zipfile.ZIP_STORED, count)


def _write_zip(part: Path, contents: Contents, manifest: _Manifest, method: int, count: Count) -> None:
    with zipfile.ZipFile(part, "x", method) as archive:
        archive.writestr(_zip_info(manifest.path, now(), 0o644, method), manifest.data)
        for name, path in contents.items():
            found = path.stat()
            info = _zip_info(name, _file_time(found.st_mtime), _mode(found.st_mode), method)
            info.file_size = found.st_size  # zipfile decides on zip64 by this size
            with path.open("rb") as source, archive.open(info, "w") as member:
                shutil.copyfileobj(_Counted(source, count), member, _COPY_BYTES)


def _zip_info(name: str, stamp: float, mode: int, method: int) -> zipfile.ZipInfo:
    moment = time.gmtime(stamp) if os.environ.get("SOURCE_DATE_EPOCH") else time.localtime(stamp)
    date = min(max(moment[:6], _FIRST_ZIP_YEAR), _LAST_ZIP_YEAR)
    info = zipfile.ZipInfo(name, date)
    info.create_system = 3  # Unix, so that the mode is used
    info.external_attr = (0o100000 | mode) << 16
    info.compress_type = method
    return info


def _mode(mode: int) -> int:
    return 0o755 if mode & 0o100 else 0o644


def _write_tgz(part: Path, contents: Contents, manifest: _Manifest, name: str, count: Count) -> None:
    with (
        part.open("xb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=int(now())) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        info = _tar_info(f"{name}/{manifest.path}", len(manifest.data), now(), 0o644)
        archive.addfile(info, io.BytesIO(manifest.data))
        for member, path in contents.items():
            found = path.stat()
            info = _tar_info(f"{name}/{member}", found.st_size, _file_time(found.st_mtime), _mode(found.st_mode))
            with path.open("rb") as source:
                archive.addfile(info, cast("IO[bytes]", _Counted(source, count)))  # only read


def _tar_info(name: str, size: int, stamp: float, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(stamp), mode
    return info


def _write_directory(part: Path, contents: Contents, manifest: _Manifest, _name: str, count: Count) -> None:
    copy_files(part, contents, count)
    path = part / manifest.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest.data)


def copy_files(folder: Path, contents: Contents, count: Count = _uncounted) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(_Counted(source, count), copy, _COPY_BYTES)
        shutil.copystat(path, target)


_WRITERS: dict[str, Callable[[Path, Contents, _Manifest, str, Count], None]] = {
    "default": _write_deflated,
    "zip-store": _write_stored,
    "tgz": _write_tgz,
    "no-archive": _write_directory,
}
