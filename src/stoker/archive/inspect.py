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
from stoker.archive.listing import Listing, Scanner
from stoker.archive.manifest import MANIFEST_PATH, Manifest
from stoker.archive.names import shown
from stoker.errors import InvalidArchive

_MAX_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection(Listing):
    """``manifest``: None if it cannot be read. ``config``: top level of the model config, nested values by type."""

    manifest: Manifest | None
    config: Mapping[str, object]

    @property
    def handler(self) -> str | None:
        return self.manifest.handler if self.manifest else None


def inspect_archive(path: Path, *, limits: UnpackLimits = UnpackLimits()) -> Inspection:  # noqa: B008 - frozen
    """Inspects an archive. Blocking. Raises ArchiveNotFound, ArchiveUnreadable: there is nothing to inspect."""
    return _Inspector(path, limits).run()


class _Inspector(Scanner):
    def run(self) -> Inspection:
        with self.reading():
            contents = self.scan({MANIFEST_PATH})
            manifest = self._manifest(contents.get(MANIFEST_PATH))
            config = self._config(manifest)
            if manifest is not None:
                self._check_files(manifest)
            return Inspection(**self.facts(), manifest=manifest, config=config)

    def _manifest(self, data: bytes | None) -> Manifest | None:
        if data is None:
            self.warnings.append(f"There is no {MANIFEST_PATH}: name and handler must be given at registration.")
            return Manifest(found=False)
        try:
            manifest = Manifest.parse(data)
            manifest.effective(default_model_name="unnamed")
        except InvalidArchive as error:
            self.warnings.append(error.message)
            return None
        if manifest.model_name is None:
            self.warnings.append("The manifest has no model name.")
        return manifest

    def _config(self, manifest: Manifest | None) -> Mapping[str, object]:
        name = manifest.config_file if manifest else None
        if name is None or name not in {entry.name for entry in self.entries}:
            return {}
        data = self.scan({name}).get(name, b"")
        if len(data) > _MAX_READ_BYTES:
            self.warnings.append(f"The configuration file is larger than {_MAX_READ_BYTES} bytes.")
            return {}
        try:
            config = yaml.safe_load(data)
        except (yaml.YAMLError, ValueError, RecursionError):
            self.warnings.append(f"The configuration file is not valid YAML: {shown(name)}")
            return {}
        return _summary(config) if isinstance(config, dict) else {}

    def _check_files(self, manifest: Manifest) -> None:
        self.warn_of_missing(
            {
                "serializedFile": manifest.serialized_file,
                "modelFile": manifest.model_file,
                "requirementsFile": manifest.requirements_file,
                "configFile": manifest.config_file,
            }
        )
        if manifest.found and manifest.handler is None:
            self.warnings.append("The manifest has no handler.")
        if manifest.handler is not None and not _has_handler(manifest.handler, {entry.name for entry in self.entries}):
            self.warnings.append(f"The handler is neither in the archive nor built in: {shown(manifest.handler)}")


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
