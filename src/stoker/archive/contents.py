"""Decides which files go into an archive and under which names, before anything is written.

TorchServe's rules: a named file goes to the root under its own base name; the contents of a directory are merged into
the root; patterns are expanded; a later file of the same name replaces an earlier one, with a warning.  Left out:
folders whose name starts with a dot, ``__pycache__``, ``__MACOSX``, ``*.pyc``, ``.DS_Store``.  Symbolic links are
followed, since an archive has none.  What the server would refuse to unpack is refused here already.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from stoker.archive.manifest import MANIFEST_PATH
from stoker.archive.names import NameTree, safe_parts, shown
from stoker.errors import ArchiveNotBuilt, UnsafeArchive

log = logging.getLogger(__name__)

BUILTIN_HANDLERS = frozenset(
    {
        "base_handler",
        "text_classifier",
        "image_classifier",
        "object_detector",
        "image_segmenter",
        "dali_image_classifier",
        "vllm_handler",
        "trt_llm_handler",
    }
)
UNWANTED_DIRECTORIES = frozenset({"__MACOSX", "__pycache__"})
UNWANTED_FILES = frozenset({".DS_Store"})

Contents = dict[str, Path]
"""Name in the archive -> file on the disk."""


def handler_path(handler: str) -> Path | None:
    """Returns the file named by ``--handler``, None for a handler that comes with the server."""
    if handler in BUILTIN_HANDLERS:
        return None
    path = handler.partition(":")[0]
    return Path(path if path.endswith(".py") else path + ".py")


class Collector:
    """Collects `contents`. ``leave_out``: the archive being written, in case it is among the files."""

    def __init__(self, *, leave_out: Path | None = None, manifest_path: str = MANIFEST_PATH) -> None:
        self.contents: Contents = {}
        self._leave_out = leave_out
        self._manifest_path = manifest_path

    def add_file(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        if not path.is_file():
            raise FileNotFoundError(f"File does not exist: {path}")
        self._add(path.name, path)

    def add_extra(self, extra_files: str) -> None:
        """Adds a comma-separated list of files, directories and patterns. Raises FileNotFoundError."""
        for part in filter(None, (part.strip() for part in extra_files.split(","))):
            found = [part] if Path(part).exists() else sorted(glob.glob(part))  # noqa: PTH207 - absolute patterns too
            if not found:
                raise FileNotFoundError(f"File does not exist: {part}")
            for path in map(Path, found):
                self.add_directory(path) if path.is_dir() else self.add_file(path)

    def add_directory(self, directory: Path) -> None:
        for path in _files_below(directory, ancestors=()):
            self._add(path.relative_to(directory).as_posix(), path)

    def checked(self) -> Contents:
        """Returns the contents sorted by name. Raises ArchiveNotBuilt: the server would refuse a name."""
        self.contents.pop(self._manifest_path, None)  # from an unpacked archive: the new manifest replaces it
        tree = NameTree()
        tree.add(safe_parts(self._manifest_path), directory=False)
        try:
            for name in sorted(self.contents):
                tree.add(safe_parts(name), directory=False)
        except UnsafeArchive as error:
            raise ArchiveNotBuilt(error.message.replace("was refused", "would be refused")) from None
        return {name: self.contents[name] for name in sorted(self.contents)}

    def _add(self, name: str, path: Path) -> None:
        if self._leave_out is not None and path.absolute() == self._leave_out.absolute():
            return
        known = self.contents.get(name)
        if known is not None and not known.samefile(path):
            log.warning("%s: %s replaces %s", shown(name), path, known)
        self.contents[name] = path


def wanted_file(name: str) -> bool:
    return name not in UNWANTED_FILES and not name.endswith(".pyc")


def wanted_directory(name: str) -> bool:
    return name not in UNWANTED_DIRECTORIES and not name.startswith(".")


def _files_below(directory: Path, *, ancestors: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    found = directory.stat()
    here = (found.st_dev, found.st_ino)
    if here in ancestors:
        raise ArchiveNotBuilt(f"{directory} is a link to a directory that contains it.")
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        path = directory / entry.name
        if entry.is_dir():
            if wanted_directory(entry.name):
                yield from _files_below(path, ancestors=(*ancestors, here))
        elif not wanted_file(entry.name):
            continue
        elif entry.is_file():
            yield path
        else:
            raise ArchiveNotBuilt(f"{path} is not a file, or is a dangling link.")
