"""What lies in an archive, and what the server would say of it: read only, nothing unpacked, nothing executed.

For ``stoker inspect``.  Law: a hostile archive gives warnings, not surprises; every text is fit for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from stoker.archive import tar_reader, zip_reader
from stoker.archive.contents import BUILTIN_HANDLERS
from stoker.archive.limits import Budget, UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH, MAX_MANIFEST_BYTES, Manifest
from stoker.archive.names import NameTree, safe_parts, shown
from stoker.errors import ArchiveNotFound, ArchiveUnreadable, InvalidArchive

_MAX_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """``name``: as it will lie in the model's directory. ``packed`` None: not known of a member alone."""

    name: str
    size: int
    packed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """``manifest`` None: cannot be read. ``config``: the top level of the model config, nested values as their kind."""

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
    """Blocking.

    Raises:
        ArchiveNotFound, ArchiveUnreadable: there is nothing to look at.
    """
    if not path.exists():
        raise ArchiveNotFound(url=str(path))
    try:
        return _Inspector(path, limits).run()
    except OSError as error:
        raise ArchiveUnreadable(f"Cannot read {path}: {error.strerror}") from error


class _Inspector:
    def __init__(self, path: Path, limits: UnpackLimits) -> None:
        self._path = path
        self._limits = limits
        self._entries: list[Entry] = []
        self._warnings: list[str] = []

    def run(self) -> Inspection:
        kind = self._kind()
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

    def _kind(self) -> str:
        if self._path.is_dir():
            return "directory"
        with self._path.open("rb") as file:
            head = file.read(4)
        return "zip" if zip_reader.is_zip(head) else "tar.gz" if tar_reader.is_gzip(head) else "unknown"

    def _scan(self, kind: str, wanted: set[str]) -> dict[str, bytes]:
        """Lists the members and returns what ``wanted`` ones hold, up to one byte over the limit."""
        self._entries.clear()
        read: dict[str, bytes] = {}
        try:
            for entry, content in self._members(kind):
                self._entries.append(entry)
                if entry.name in wanted:
                    read[entry.name] = _head(content)
        except InvalidArchive as error:
            self._warnings.append(error.message)
        return read

    def _members(self, kind: str) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        if kind == "directory":
            yield from _directory_members(self._path)
            return
        with self._path.open("rb") as file:
            if kind == "zip":
                yield from self._zip_members(file)
            elif kind == "tar.gz":
                yield from self._tar_members(file)
            else:
                raise InvalidArchive("The archive is neither a zip file nor a tar.gz file.")

    def _zip_members(self, file: BinaryIO) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        names = NameTree()
        for member in zip_reader.list_members(file, max_entries=self._limits.entries):
            parts = safe_parts(member.name)
            names.add(parts, directory=member.directory)
            if not member.directory:
                content = (piece for piece, _ in zip_reader.read_chunks(file, member))
                yield Entry("/".join(parts), member.size, member.packed), content
        zip_reader.read_members(file, max_entries=self._limits.entries)  # what only all together show: overlaps

    def _tar_members(self, file: BinaryIO) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        budget = Budget(self._limits, self._path.stat().st_size)
        names = NameTree()
        seen = 0

        def on_read(unpacked: int, packed: int) -> None:
            nonlocal seen
            budget.count_bytes("(archive)", unpacked - seen, unpacked=unpacked, packed=packed)
            seen = unpacked

        for member, content in tar_reader.read_members(tar_reader.Gunzip(file, on_read)):
            budget.count_entry(member.name)
            if member.parts:
                names.add(member.parts, directory=member.directory)
            if not member.directory:
                yield Entry("/".join(member.parts), member.size), content

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


def _head(content: Iterator[bytes]) -> bytes:
    """Up to one byte over the limit, so that what is too large can be told; ends early on purpose."""
    data = b""
    for piece in content:
        data += piece
        if len(data) > MAX_MANIFEST_BYTES:
            break
    return data[: MAX_MANIFEST_BYTES + 1]


def _directory_members(folder: Path) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield Entry(path.relative_to(folder).as_posix(), path.stat().st_size), _file_content(path)


def _file_content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield file.read(MAX_MANIFEST_BYTES + 1)


def _summary(config: Mapping[Any, Any]) -> dict[str, object]:
    return {shown(str(key)): _summary_value(value) for key, value in config.items()}


def _summary_value(value: object) -> object:
    """Nested values are not walked: aliases can make them endless."""
    if isinstance(value, str):
        return shown(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return f"({type(value).__name__})"


def _has_handler(handler: str, there: set[str]) -> bool:
    module = handler.partition(":")[0].rpartition("/")[2].removesuffix(".py")
    return module in BUILTIN_HANDLERS or f"{module}.py" in there
