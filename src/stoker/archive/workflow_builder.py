"""Builds workflow archives.  Called by the archiver's command line, its Python API and ``stoker archive-workflow``."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stoker.archive import builder, contents, writing
from stoker.archive.workflow_manifest import MANIFEST_PATH
from stoker.errors import ArchiveNotBuilt

log = logging.getLogger(__name__)

ARCHIVER_VERSION = "0.2.15"
"""The version of TorchServe's workflow archiver that this one behaves like, as it is written into archives."""

SUFFIX = ".war"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowBuildRequest:
    """The archiver's options. ``export_path`` None: the current directory."""

    workflow_name: str
    spec_file: str
    handler: str | None = None
    extra_files: str | None = None
    export_path: str | None = None
    force: bool = False


def build(request: WorkflowBuildRequest) -> Path:
    """Builds the archive and returns its path. Raises ArchiveNotBuilt, FileNotFoundError."""
    builder.check_name(request.workflow_name, "workflow")
    folder = Path(request.export_path) if request.export_path else Path.cwd()
    if not folder.is_dir():
        raise ArchiveNotBuilt(builder.no_directory(folder))
    target = folder / f"{request.workflow_name}{SUFFIX}"
    check_target(target, force=request.force)
    write(target, collect(request, leave_out=target), manifest_json(request))
    return target


def check_target(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise ArchiveNotBuilt(f"{target} is a directory.")
    if target.exists():
        if not force:
            raise ArchiveNotBuilt(builder.already_exists(target, "workflow"))
        log.warning("Overwriting %s ...", target)


def collect(request: WorkflowBuildRequest, *, leave_out: Path | None = None) -> contents.Contents:
    """Collects what the archive will hold, besides the manifest."""
    collector = contents.Collector(leave_out=leave_out, manifest_path=MANIFEST_PATH)
    collector.add_file(Path(request.spec_file))
    if request.handler:
        collector.add_file(Path(request.handler))
    if request.extra_files:
        collector.add_extra(request.extra_files)
    return collector.checked()


def write(target: Path, files: contents.Contents, manifest: str) -> None:
    name = target.name.removesuffix(SUFFIX)
    writing.write_archive(target, files, manifest, archive_format="default", name=name, manifest_path=MANIFEST_PATH)


def manifest_json(request: WorkflowBuildRequest) -> str:
    workflow = {
        "workflowName": request.workflow_name,
        "specFile": builder.base_name(request.spec_file),
        "handler": builder.base_name(request.handler),
    }
    return json.dumps(manifest_dict({key: value for key, value in workflow.items() if value}), indent=2)


def manifest_dict(workflow: dict[str, Any]) -> dict[str, Any]:
    """Returns the manifest in TorchServe's order of keys."""
    return {"createdOn": builder.created_on(), "workflow": workflow, "archiverVersion": ARCHIVER_VERSION}
