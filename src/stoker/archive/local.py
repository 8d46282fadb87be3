"""Finds where a local URL is on this machine. Blocking: for a thread.

A bare name is an entry of the model store.  A path means what is at that path, never an entry of the store with the
same name.  Only if nothing is at a client's path, its last component is looked up as an archive in the store, as
TorchServe does, because clients may name the archive as their own machine knows it.

A client may name paths inside the model store and inside the folders of `allowed_model_paths`; the operator any.  A
symbolic link below such a folder is followed out of it only if root, this user or the owner of the folder owns the
link: those could have put the files there themselves.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stoker.archive.members import model_directory
from stoker.archive.names import shown
from stoker.archive.sources import file_name, redacted
from stoker.errors import ArchiveNotFound, InvalidArchive, ModelStoreMissing, PathRefused

log = logging.getLogger(__name__)

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE)


class Found(NamedTuple):
    """``path``: the archive, or the directory with the model's files.

    ``external_path``: the path that was named, if it is not an entry of the model store.
    """

    path: Path
    external_path: str | None


@dataclass(frozen=True, slots=True)
class Places:
    """``allowed``: the folders of `allowed_model_paths`."""

    store: Path | None
    allowed: tuple[Path, ...] = ()

    def find(self, url: str, *, from_operator: bool = False) -> Found:
        """Raises ArchiveNotFound, ModelStoreMissing, PathRefused."""
        name = file_name(url)
        if name in ("", ".") or _SCHEME.match(url):
            raise ArchiveNotFound(url=redacted(url))
        by_path = "/" in url.rstrip("/")
        named = self._at_path(url, name, from_operator) if by_path else self._by_name(url, name, from_operator)
        external_path = None if self._is_entry(named) else str(named)
        return Found(self._model_in(named, url, from_operator) if named.is_dir() else named, external_path)

    def check_inside(self, model_dir: Path, name: str) -> None:
        """Checks a file that decides what runs: a link may lead only to where models are allowed anyway.

        Raises: InvalidArchive
        """
        real = (model_dir / name).resolve()
        if not any(real.is_relative_to(folder.resolve()) for folder in (model_dir, *self._folders())):
            raise InvalidArchive(
                f"A link leads out of the model's directory: {shown(name)}. See the setting allowed_model_paths."
            )
        if real.exists() and not real.is_file():
            raise InvalidArchive(f"{shown(name)} is not a file.")

    def _by_name(self, url: str, name: str, from_operator: bool) -> Path:
        entry = self._entry(name)
        if entry is not None:
            return entry
        if from_operator and (here := Path(name).absolute()).is_dir():
            return here
        if self.store is None:
            raise ModelStoreMissing
        raise ArchiveNotFound(url=redacted(url))

    def _at_path(self, url: str, name: str, from_operator: bool) -> Path:
        path = Path("/", url.lstrip("/")) if url.startswith("/") else Path(url).absolute()
        allowed = from_operator or self._is_nameable(path)
        there = _is_model(path)
        if allowed and there:
            return path
        if not there and not from_operator and (entry := self._entry(name)) is not None and entry.is_file():
            log.info("There is nothing at the given path: loading %s from the model store", name)
            return entry
        if not allowed:
            raise PathRefused(url=redacted(url))
        raise ArchiveNotFound(url=redacted(url))

    def _model_in(self, directory: Path, url: str, from_operator: bool) -> Path:
        try:
            inner = model_directory(directory)
        except OSError:
            raise ArchiveNotFound(url=redacted(url)) from None
        if inner.is_symlink() and not from_operator and not self._is_nameable(inner):
            raise PathRefused(url=redacted(url))
        return inner

    def _folders(self) -> Iterator[Path]:
        if self.store is not None:
            yield self.store
        yield from self.allowed

    def _is_entry(self, path: Path) -> bool:
        return self.store is not None and _same(path.parent, self.store)

    def _entry(self, name: str) -> Path | None:
        if self.store is None:
            return None
        path = self.store / name
        return path if trusted(path, self.store) and _is_model(path) else None

    def _is_nameable(self, path: Path) -> bool:
        return any(_inside(path, folder) for folder in self._folders())


def _inside(path: Path, folder: Path) -> bool:
    try:
        if path.resolve().is_relative_to(folder.resolve()):
            return True
        below = path.relative_to(folder.absolute())
        steps = (folder.joinpath(*below.parts[: depth + 1]) for depth in range(len(below.parts)))
        return all(trusted(step, folder) for step in steps)
    except (OSError, ValueError, RuntimeError):  # a loop of links, or an invalid path
        return False


def trusted(path: Path, folder: Path) -> bool:
    """Returns True unless this is a link whose owner could not have put the file there."""
    try:
        entry = path.lstat()
        return not stat.S_ISLNK(entry.st_mode) or entry.st_uid in (0, os.geteuid(), folder.stat().st_uid)
    except (OSError, ValueError):
        return False


def _is_model(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
