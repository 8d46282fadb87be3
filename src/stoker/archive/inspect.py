"""Shows what is in an archive and what the server would say about it, for ``stoker inspect``.

Reads only: unpacks and executes nothing.

Invariant: a hostile archive produces warnings, never a failure; every text is safe for a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stoker.archive.contents import BUILTIN_HANDLERS
from stoker.archive.limits import UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH, Manifest
from stoker.archive.manifest_json import MAX_MANIFEST_BYTES
from stoker.archive.members import Entry, at_most, kind_of, members
from stoker.archive.names import shown
from stoker.errors import ArchiveNotFound, ArchiveUnreadable, InvalidArchive

_MAX_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found.

    ``manifest``: None if it cannot be read. ``config``: top level of the model config, with nested values shown by
    type.
    """

    file: str
    format: str
    archive_bytes: int
    entries: tuple[Entry, ...]
    manifest: Manifest | None
    config: Mapping[str, object]
    warnings: tuple[str, ...]

    @property
    def handler(self) -> str | None:
        return self.manifest.handler if self.manifest else None

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


def inspect_archive(path: Path, *, limits: UnpackLimits = UnpackLimits()) -> Inspection:  # noqa: B008 - frozen
    """Inspects an archive. Blocking.

    Raises: ArchiveNotFound, ArchiveUnreadable: there is nothing to inspect.
    """
    if not path.exists():
        raise ArchiveNotFound(f"There is no file {path}.")
    try:
        if kind_of(path) == "unknown":
            raise ArchiveUnreadable(
                f"{path} is no model archive: it is {_what_it_is(path)}, neither a zip file nor a tar.gz file."
            )
        return _Inspector(path, limits).run()
    except OSError as error:
        raise ArchiveUnreadable(f"Cannot read {path}: {error.strerror}") from error


def _what_it_is(path: Path) -> str:
    return "no file" if not path.is_file() else "empty" if not path.stat().st_size else "something else"


class _Inspector:
    def __init__(self, path: Path, limits: UnpackLimits) -> None:
        self._path = path
        self._limits = limits
        self._entries: list[Entry] = []
        self._warnings: list[str] = []

    def run(self) -> Inspection:
        kind = kind_of(self._path)
        contents = self._scan(kind, {MANIFEST_PATH})
        manifest = self._manifest(contents.get(MANIFEST_PATH))
        config = self._config(kind, manifest)
        if manifest is not None:
            self._check_files(manifest)
        return Inspection(
            file=self._path.name,
            format=kind,
            archive_bytes=self._path.stat().st_size if self._path.is_file() else 0,
            entries=tuple(self._entries),
            manifest=manifest,
            config=config,
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _scan(self, kind: str, wanted: set[str]) -> dict[str, bytes]:
        """Lists the members and returns the contents of the ``wanted`` ones, up to one byte over the limit."""
        self._entries.clear()
        read: dict[str, bytes] = {}
        try:
            for entry, content in members(self._path, limits=self._limits):
                self._entries.append(entry)
                if entry.name in wanted:
                    read[entry.name] = at_most(content, MAX_MANIFEST_BYTES)
        except InvalidArchive as error:
            self._warnings.append(error.message)
        return read

    # --------------------------------------------------------------------------------- what it means

    def _manifest(self, data: bytes | None) -> Manifest | None:
        if data is None:
            self._warnings.append(f"There is no {MANIFEST_PATH}: name and handler must be given at registration.")
            return Manifest(found=False)
        try:
            manifest = Manifest.parse(data)
            manifest.effective(default_model_name="unnamed")
        except InvalidArchive as error:
            self._warnings.append(error.message)
            return None
        if manifest.model_name is None:
            self._warnings.append("The manifest has no model name.")
        return manifest

    def _config(self, kind: str, manifest: Manifest | None) -> Mapping[str, object]:
        name = manifest.config_file if manifest else None
        if name is None or name not in {entry.name for entry in self._entries}:
            return {}
        data = self._scan(kind, {name}).get(name, b"")
        if len(data) > _MAX_READ_BYTES:
            self._warnings.append(f"The configuration file is larger than {_MAX_READ_BYTES} bytes.")
            return {}
        try:
            config = yaml.safe_load(data)
        except (yaml.YAMLError, ValueError, RecursionError):
            self._warnings.append(f"The configuration file is not valid YAML: {shown(name)}")
            return {}
        return _summary(config) if isinstance(config, dict) else {}

    def _check_files(self, manifest: Manifest) -> None:
        there = {entry.name for entry in self._entries}
        named = {
            "serializedFile": manifest.serialized_file,
            "modelFile": manifest.model_file,
            "requirementsFile": manifest.requirements_file,
            "configFile": manifest.config_file,
        }
        for key, name in named.items():
            if name is not None and name not in there:
                self._warnings.append(f"The manifest names a file that is missing: {key}: {shown(name)}")
        if manifest.found and manifest.handler is None:
            self._warnings.append("The manifest has no handler.")
        if manifest.handler is not None and not _has_handler(manifest.handler, there):
            self._warnings.append(f"The handler is neither in the archive nor built in: {shown(manifest.handler)}")


def _summary(config: Mapping[Any, Any]) -> dict[str, object]:
    return {shown(str(key)): _summary_value(value) for key, value in config.items()}


def _summary_value(value: object) -> object:
    """Names the type of a nested value instead of walking it: aliases can make it endless."""
    if isinstance(value, str):
        return shown(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return f"({type(value).__name__})"


def _has_handler(handler: str, there: set[str]) -> bool:
    module = handler.partition(":")[0].rpartition("/")[2].removesuffix(".py")
    return module in BUILTIN_HANDLERS or f"{module}.py" in there
