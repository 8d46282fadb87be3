"""Implements ``stoker archive``, ``stoker archive-workflow`` and ``stoker inspect``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stoker.archive import builder, workflow_builder
from stoker.archive.inspect import Inspection, inspect_archive
from stoker.archive.inspect_workflow import WorkflowInspection, inspect_workflow, is_workflow
from stoker.archive.listing import Listing
from stoker.archive.workflow_manifest import WorkflowManifest
from stoker.cli import archiver, console, output
from stoker.errors import StokerError, WorkflowError
from stoker.workflows import specification
from stoker.workflows.graph import Node
from stoker.workflows.specification import Specification

app = typer.Typer()


@app.command()
def archive(
    handler: Annotated[
        str, typer.Argument(help="Handler: a Python file, file.py:function or a built-in name.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the model.", show_default=False)],
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1.0",
    weights: Annotated[Path | None, typer.Option(help="The serialized model.")] = None,
    model_file: Annotated[Path | None, typer.Option(help="Python file with the model class (eager mode).")] = None,
    extra: Annotated[list[str] | None, typer.Option(help="File, directory or pattern to add; can be repeated.")] = None,
    requirements: Annotated[Path | None, typer.Option(help="Packages that the model needs.")] = None,
    config: Annotated[Path | None, typer.Option(help="model-config.yaml.")] = None,
    archive_format: Annotated[
        str, typer.Option("--format", help="One of: " + ", ".join(builder.FORMATS) + ".")
    ] = "default",
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Directory to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an existing archive.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Pack a model into an archive that the server can load."""
    request = builder.BuildRequest(
        model_name=name,
        handler=handler,
        version=version,
        serialized_file=_text(weights),
        model_file=_text(model_file),
        extra_files=",".join(extra) if extra else None,
        requirements_file=_text(requirements),
        config_file=_text(config),
        archive_format=archive_format,
        export_path=_text(out),
        force=force,
    )
    try:
        output.echo(str(builder.build(request, archiver.shown_progress(name, quiet=quiet))))
    except (StokerError, OSError) as error:
        output.fail(console.described(error))


@app.command("archive-workflow")
def archive_workflow(
    spec: Annotated[Path, typer.Argument(help="YAML file with the models and the graph.", show_default=False)],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the workflow.", show_default=False)],
    handler: Annotated[Path | None, typer.Option(help="Python file with the functions that are nodes.")] = None,
    extra: Annotated[list[str] | None, typer.Option(help="File, directory or pattern to add; can be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Directory to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an existing archive.")] = False,
) -> None:
    """Pack a workflow into an archive that the server can load. Its specification is checked first."""
    request = workflow_builder.WorkflowBuildRequest(
        workflow_name=name,
        spec_file=str(spec),
        handler=_text(handler),
        extra_files=",".join(extra) if extra else None,
        export_path=_text(out),
        force=force,
    )
    content = output.read_file(spec)
    try:
        found = specification.parse(content, name=spec.name, has_handler=handler is not None)
        for warning in found.warnings:
            output.warn(f"{spec}: {warning}")
        output.echo(str(workflow_builder.build(request)))
    except (StokerError, OSError) as error:
        output.fail(console.described(error))


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A .mar, .war, .tar.gz, or a model's or workflow's directory.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show manifest, handler, files and sizes of an archive. Nothing is unpacked or executed."""
    try:
        shown = _workflow(inspect_workflow(file)) if is_workflow(file) else _model(inspect_archive(file))
    except StokerError as error:
        output.fail(str(error))
    found = shown.found
    sizes = f"{len(found.entries)} files, {found.total_bytes} bytes ({found.archive_bytes} packed)"
    facts = {"file": found.file, "format": found.format, **shown.facts, "contents": sizes}
    if as_json:
        files = [{"name": entry.name, "bytes": entry.size, "packed": entry.packed} for entry in found.entries]
        output.echo(json.dumps({**facts, **shown.details, "files": files, "warnings": shown.warnings}, indent=2))
    else:
        for key, value in (*facts.items(), *shown.lines):
            output.echo(f"{key:<12}{value}")
        output.table(["file", "bytes"], [[entry.name, str(entry.size)] for entry in found.entries])
        for warning in shown.warnings:
            output.warn(warning)
    raise typer.Exit(0 if shown.usable else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """``facts``: of the manifest. ``lines``: the rest as text, ``details`` as JSON."""

    found: Listing
    facts: Mapping[str, object]
    lines: Sequence[tuple[str, object]]
    details: Mapping[str, object]
    warnings: list[str]
    usable: bool


def _model(found: Inspection) -> _Shown:
    manifest = found.manifest
    return _Shown(
        found=found,
        facts={
            "model": manifest.model_name if manifest else None,
            "version": manifest.model_version if manifest else None,
            "runtime": manifest.runtime if manifest else None,
            "handler": found.handler,
        },
        lines=[("config", f"{key}: {setting}") for key, setting in found.config.items()],
        details={"manifest": manifest.raw if manifest else None, "config": dict(found.config)},
        warnings=list(found.warnings),
        usable=manifest is not None,
    )


def _workflow(found: WorkflowInspection) -> _Shown:
    manifest, warnings = found.manifest, list(found.warnings)
    parsed = _parsed(manifest, warnings) if manifest else None
    nodes = list(parsed.graph.nodes.values()) if parsed else []
    return _Shown(
        found=found,
        facts={
            "workflow": manifest.workflow_name if manifest else None,
            "spec": manifest.spec_file if manifest else None,
            "handler": manifest.handler if manifest else None,
        },
        lines=[("node", _node(node)) for node in nodes],
        details={
            "start": parsed.graph.start if parsed else None,
            "leaves": list(parsed.graph.leaves) if parsed else [],
            "nodes": [{"name": node.name, "url": node.url, "next": list(node.successors)} for node in nodes],
        },
        warnings=warnings,
        usable=parsed is not None,
    )


def _parsed(manifest: WorkflowManifest, warnings: list[str]) -> Specification | None:
    try:
        found = specification.parse(
            manifest.specification, name=manifest.spec_file, has_handler=manifest.handler is not None
        )
    except WorkflowError as error:
        warnings.append(error.message)
        return None
    warnings += found.warnings
    return found


def _node(node: Node) -> str:
    after = f" -> {', '.join(node.successors)}" if node.successors else ""
    return f"{node.name} ({node.url or 'function'}){after}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
