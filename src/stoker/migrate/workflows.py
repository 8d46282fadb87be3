"""Checks the contents of a workflow archive: manifest, specification, functions, and whether its models are there.

PURE. Parses texts, never runs them.
"""

from __future__ import annotations

from collections.abc import Collection

from stoker.archive import sources as urls
from stoker.archive.names import shown
from stoker.archive.workflow_manifest import MANIFEST_PATH, WorkflowManifest
from stoker.errors import InvalidArchive, InvalidWorkflow
from stoker.migrate import findings, sources
from stoker.migrate.archives import Contents
from stoker.migrate.findings import Finding, Remarks, Verdict, changed, unsupported
from stoker.workflows import specification
from stoker.workflows.specification import Specification

AREA = "workflows"


def check(file: str, contents: Contents, models: Collection[str]) -> list[Finding]:
    """Returns at least one finding. ``file``: its name in the store. ``models``: names in the model store."""
    try:
        manifest = _manifest(contents)
        parsed = _parsed(manifest, contents)
    except (InvalidArchive, InvalidWorkflow) as error:
        return [Finding(AREA, file, Verdict.UNSUPPORTED, f"It cannot be registered: {error}")]
    found = [
        *(changed(f"With a warning: {warning}", shown(manifest.spec_file)) for warning in parsed.warnings),
        *_models(parsed, models),
        *sources.check((manifest.handler or "").removesuffix(".py"), contents),
    ]
    return findings.of_archive(AREA, file, found)


def _manifest(contents: Contents) -> WorkflowManifest:
    data = contents.texts.get(MANIFEST_PATH)
    if data is None:
        raise InvalidWorkflow("Workflow name is not defined.")
    manifest = WorkflowManifest.parse(data)
    manifest.name()
    return manifest


def _parsed(manifest: WorkflowManifest, contents: Contents) -> Specification:
    for name in filter(None, (manifest.spec_file, manifest.handler)):
        if name not in contents.names:
            raise InvalidWorkflow(f"The archive has no file {shown(name)}.")
    content = contents.texts.get(manifest.spec_file)
    if content is None:
        raise InvalidWorkflow(f"{shown(manifest.spec_file)} is too large, or not a .yaml, .yml, .json or .txt file.")
    return specification.parse(content, name=shown(manifest.spec_file), has_handler=manifest.handler is not None)


def _models(parsed: Specification, models: Collection[str]) -> Remarks:
    for node in parsed.graph.nodes.values():
        if node.url is not None and not urls.is_remote(node.url) and urls.file_name(node.url) not in models:
            yield unsupported(f"The model of node {node.name} is not in the model store: {shown(node.url)}.")
