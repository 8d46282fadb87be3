"""Shows what is in a workflow archive, as `inspect` does for a model's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from stoker.archive.limits import UnpackLimits
from stoker.archive.listing import Listing, Scanner
from stoker.archive.workflow_manifest import MANIFEST_PATH, WorkflowManifest, check_name
from stoker.errors import InvalidArchive, WorkflowError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInspection(Listing):
    """Content of a workflow archive. ``manifest``: None if it cannot be read; it has the specification's content,
    empty if missing."""

    manifest: WorkflowManifest | None


def is_workflow(path: Path) -> bool:
    """Judges by the file name, and for a directory by its manifest."""
    return path.name.lower().endswith(".war") or (path.is_dir() and (path / MANIFEST_PATH).exists())


def inspect_workflow(path: Path) -> WorkflowInspection:
    """Inspects an archive. Blocking. Raises ArchiveNotFound, ArchiveUnreadable: there is nothing to inspect."""
    return _Inspector(path, UnpackLimits()).run()


class _Inspector(Scanner):
    def run(self) -> WorkflowInspection:
        with self.reading():
            manifest = self._manifest(self.scan({MANIFEST_PATH}).get(MANIFEST_PATH))
            if manifest is not None:
                content = self.scan({manifest.spec_file}).get(manifest.spec_file, b"")
                manifest = replace(manifest, specification=content)
                self.warn_of_missing({"specFile": manifest.spec_file, "handler": manifest.handler})
            return WorkflowInspection(**self.facts(), manifest=manifest)

    def _manifest(self, data: bytes | None) -> WorkflowManifest | None:
        if data is None:
            self.warnings.append(f"There is no {MANIFEST_PATH}: this is not a workflow archive.")
            return None
        try:
            manifest = WorkflowManifest.parse(data)
        except (InvalidArchive, WorkflowError) as error:
            self.warnings.append(error.message)
            return None
        try:
            check_name("Workflow", manifest.workflow_name)
        except WorkflowError as error:
            self.warnings.append(f"{error.message}; the registration must give another one.")
        return manifest
