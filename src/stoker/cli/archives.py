"""Implements ``stoker archive``, ``stoker archive-workflow`` and ``stoker inspect``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stoker.archive import builder, workflow_builder
from stoker.archive.inspect import Inspection, inspect_archive
from stoker.archive.inspect_workflow import WorkflowInspection, inspect_workflow, is_workflow
from stoker.archive.listing import Listing
from stoker.cli import archiver, console, output
from stoker.errors import StokerError, WorkflowError
from stoker.workflows import specification
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
    extra: Annotated[list[str] | None, typer.Option(help="File, directory or pattern to add; repeat.")] = None,
    requirements: Annotated[Path | None, typer.Option(help="Packages that the model needs.")] = None,
    config: Annotated[Path | None, typer.Option(help="model-config.yaml.")] = None,
    archive_format: Annotated[
        str, typer.Option("--format", help="One of: " + ", ".join(builder.FORMATS) + ".")
    ] = "default",
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Directory to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an archive that exists.")] = False,
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
        output.say(str(builder.build(request, archiver.shown_progress(name, quiet=quiet))))
    except (StokerError, OSError) as error:
        output.fail(console.described(error))


@app.command("archive-workflow")
def archive_workflow(
    spec: Annotated[Path, typer.Argument(help="YAML file with the models and the graph.", show_default=False)],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the workflow.", show_default=False)],
    handler: Annotated[Path | None, typer.Option(help="Python file with the functions that are nodes.")] = None,
    extra: Annotated[list[str] | None, typer.Option(help="File, directory or pattern to add; repeat.")] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Directory to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an archive that exists.")] = False,
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
        output.say(str(workflow_builder.build(request)))
    except (StokerError, OSError) as error:
        output.fail(console.described(error))


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A .mar, .war, .tar.gz, or a model's or workflow's directory.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show manifest, handler, files and sizes of an archive. Nothing is unpacked or executed."""
    try:
        shown = _ShownWorkflow(inspect_workflow(file)) if is_workflow(file) else _ShownModel(inspect_archive(file))
    except StokerError as error:
        output.fail(str(error))
    if as_json:
        output.say(json.dumps(shown.as_dict(), indent=2))
    else:
        shown.show()
    raise typer.Exit(0 if shown.usable else 1)


class _ShownModel:
    def __init__(self, found: Inspection) -> None:
        self._found = found
        self.usable = found.manifest is not None

    def show(self) -> None:
        lines = [("config", f"{key}: {setting}") for key, setting in self._found.config.items()]
        _show(self._found, [*self._facts().items(), *lines], self._found.warnings)

    def as_dict(self) -> dict[str, object]:
        found = self._found
        return {
            **self._facts(),
            "manifest": found.manifest.raw if found.manifest else None,
            "config": dict(found.config),
            "files": _files(found),
            "warnings": list(found.warnings),
        }

    def _facts(self) -> dict[str, object]:
        manifest = self._found.manifest
        model = {
            "model": manifest.model_name if manifest else None,
            "version": manifest.model_version if manifest else None,
            "runtime": manifest.runtime if manifest else None,
            "handler": self._found.handler,
        }
        return _facts(self._found, model)


class _ShownWorkflow:
    def __init__(self, found: WorkflowInspection) -> None:
        self._found = found
        self._warnings = list(found.warnings)
        self._specification = self._parsed()
        self.usable = self._specification is not None

    def show(self) -> None:
        _show(self._found, [*self._facts().items(), *(("node", line) for line in self._nodes())], self._warnings)

    def as_dict(self) -> dict[str, object]:
        graph = self._specification.graph if self._specification else None
        return {
            **self._facts(),
            "start": graph.start if graph else None,
            "leaves": list(graph.leaves) if graph else [],
            "nodes": [
                {"name": node.name, "url": node.url, "next": list(node.successors)}
                for node in (graph.nodes.values() if graph else ())
            ],
            "files": _files(self._found),
            "warnings": self._warnings,
        }

    def _parsed(self) -> Specification | None:
        manifest = self._found.manifest
        if manifest is None:
            return None
        try:
            found = specification.parse(
                manifest.specification, name=manifest.spec_file, has_handler=manifest.handler is not None
            )
        except WorkflowError as error:
            self._warnings.append(error.message)
            return None
        self._warnings += found.warnings
        return found

    def _nodes(self) -> list[str]:
        nodes = self._specification.graph.nodes.values() if self._specification else ()
        return [
            f"{node.name} ({node.url or 'function'})" + (f" -> {', '.join(node.successors)}" if node.successors else "")
            for node in nodes
        ]

    def _facts(self) -> dict[str, object]:
        manifest = self._found.manifest
        workflow = {
            "workflow": manifest.workflow_name if manifest else None,
            "spec": manifest.spec_file if manifest else None,
            "handler": manifest.handler if manifest else None,
        }
        return _facts(self._found, workflow)


def _show(found: Listing, facts: Sequence[tuple[str, object]], warnings: Iterable[str]) -> None:
    for key, value in facts:
        output.say(f"{key:<12}{value}")
    output.table(["file", "bytes"], [[entry.name, str(entry.size)] for entry in found.entries])
    for warning in warnings:
        output.warn(warning)


def _facts(found: Listing, own: Mapping[str, object]) -> dict[str, object]:
    sizes = f"{len(found.entries)} files, {found.total_bytes} bytes ({found.archive_bytes} packed)"
    return {"file": found.file, "format": found.format, **own, "contents": sizes}


def _files(found: Listing) -> list[dict[str, object]]:
    return [{"name": entry.name, "bytes": entry.size, "packed": entry.packed} for entry in found.entries]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
