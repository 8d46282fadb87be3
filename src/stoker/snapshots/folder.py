"""The folder of snapshots: writes each file whole or not at all, and removes the oldest that stoker wrote.

Blocking: call it from a thread.  Leaves TorchServe's own snapshots alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from stoker import __version__
from stoker.config import model_snapshot, properties
from stoker.config.model_snapshot import ModelSnapshot
from stoker.snapshots import files as snapshot_files

_OURS = b"#stoker "
_PART = ".part"
_STALE_S = 60.0


class SnapshotFolder:
    """``settings``: written to each file beside the models. ``kept``: how many files stay; 0: all."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str], kept: int) -> None:
        self._folder = folder
        self._settings = settings
        self._kept = kept

    def write(self, kind: str, snapshot: ModelSnapshot) -> Path:
        """Raises OSError: no file was written, and no other has changed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / snapshot_files.next_name(kind, datetime.now(), self._names())
        part = file.with_name(f".{file.name}.{os.getpid()}{_PART}")
        try:
            _write_through(part, self._text(file.name, snapshot))
            part.rename(file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)
        self._make_room()
        return file

    def _text(self, file_name: str, snapshot: ModelSnapshot) -> bytes:
        """Puts the models last: a file without its end has none."""
        models = model_snapshot.encode(snapshot, file_name=file_name, created_ms=round(time.time() * 1000))
        lines = [
            properties.comment(f"stoker {__version__}: the models of a server, and its settings without secrets"),
            *(properties.line(key, value) for key, value in self._settings.items()),
            properties.line("model_snapshot", models),
        ]
        return "".join(lines).encode("ascii")

    def _make_room(self) -> None:
        for part in self._folder.glob(f".*{_PART}"):
            _remove_if_stale(part)
        if self._kept:
            ours = [name for name in snapshot_files.newest_first(self._names()) if self._is_ours(name)]
            for name in ours[self._kept :]:
                (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        return [entry.name for entry in self._folder.iterdir()]

    def _is_ours(self, name: str) -> bool:
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(len(_OURS)) == _OURS
        except OSError:
            return False


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_if_stale(part: Path) -> None:
    """Removes what a killed server left; a recent one may be another server's, still being written."""
    try:
        if time.time() - part.stat().st_mtime > _STALE_S:
            part.unlink(missing_ok=True)
    except FileNotFoundError:
        pass  # finished meanwhile
