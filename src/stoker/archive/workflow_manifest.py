"""``WAR-INF/MANIFEST.json``: describes a workflow archive.  Nothing is looked up or imported.

Stricter than a model's manifest, as in TorchServe: the date and the archiver's version must be there.  A name must suit
URLs and the names of the nodes' models, since a workflow under any other name could be neither described nor deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stoker.archive.manifest_json import file_of, parse_json, read_bytes, text_of
from stoker.archive.names import shown
from stoker.errors import InvalidWorkflow

MANIFEST_PATH = "WAR-INF/MANIFEST.json"
MAX_NAME_CHARS = 120
MAX_SPECIFICATION_BYTES = 64 << 10
"""Far more than the largest graph needs; parsing takes a few seconds at worst."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowManifest:
    """``handler``: file with the functions of the function nodes, None where there is none. ``specification``: the
    content of the specification file."""

    workflow_name: str
    spec_file: str
    handler: str | None = None
    archiver_version: str
    created_on: str
    specification: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> WorkflowManifest:
        """Raises: InvalidWorkflow: in TorchServe's words where it has some."""
        raw = parse_json(data)
        workflow = raw.get("workflow")
        if not isinstance(workflow, dict):
            raise InvalidWorkflow("Missing Workflow entry in manifest file.")
        name = _needed(workflow, "workflowName", "Workflow name is not defined.")
        version = _needed(raw, "archiverVersion", "Workflow archive version is not defined.")
        created_on = _needed(raw, "createdOn", "Workflow archive createdOn is not defined.")
        spec_file = file_of(workflow, "specFile")
        if spec_file is None:
            raise InvalidWorkflow("Workflow specification file is not defined.")
        return cls(
            workflow_name=name,
            spec_file=spec_file,
            handler=file_of(workflow, "handler"),
            archiver_version=version,
            created_on=created_on,
        )

    @classmethod
    def load(cls, folder: Path, check: Callable[[str], None]) -> WorkflowManifest:
        """Loads the manifest and the specification of an unpacked workflow.

        ``check``: raises for the name of a file that is outside.

        Raises: InvalidWorkflow: one is missing or cannot be used.  ArchiveUnreadable: the disk failed.
        """
        check(MANIFEST_PATH)
        data = read_bytes(folder, MANIFEST_PATH)
        if data is None:
            raise InvalidWorkflow("Workflow name is not defined.")  # TorchServe's words for a missing manifest
        manifest = cls.parse(data)
        check(manifest.spec_file)
        if manifest.handler is not None:
            check(manifest.handler)
            if not (folder / manifest.handler).is_file():
                raise InvalidWorkflow(f"The archive has no handler file {shown(manifest.handler)}.")
        return replace(manifest, specification=_specification(folder, manifest.spec_file))

    def name(self, requested: str | None = None) -> str:
        """Returns the name to serve the workflow by: the one requested, else its own. Raises InvalidWorkflow."""
        name = requested or self.workflow_name
        check_name("Workflow", name)
        return name


def _specification(folder: Path, name: str) -> bytes:
    data = read_bytes(folder, name, at_most=MAX_SPECIFICATION_BYTES)
    if data is None:
        raise InvalidWorkflow(f"The archive has no specification file {shown(name)}.")
    if len(data) > MAX_SPECIFICATION_BYTES:
        raise InvalidWorkflow(f"The specification file is larger than {MAX_SPECIFICATION_BYTES} bytes.")
    return data


def check_name(what: str, name: str) -> None:
    """Checks the name of a workflow or of a node, by the rule of TorchServe's archiver. Raises InvalidWorkflow."""
    if not name:
        raise InvalidWorkflow(f"{what} name is empty.")
    if not _NAME.fullmatch(name):
        raise InvalidWorkflow(f"{what} name contains special characters: {shown(name)}")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidWorkflow(f"{what} name is longer than {MAX_NAME_CHARS} characters.")


def _needed(where: Mapping[str, Any], key: str, otherwise: str) -> str:
    value = text_of(where, key)
    if value is None:
        raise InvalidWorkflow(otherwise)
    return value
