"""Builds model archives.  Called by the archiver's command line, its Python API and ``stoker archive``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stoker.archive import contents, writing
from stoker.core.model import RUNTIMES
from stoker.errors import ArchiveNotBuilt

FORMATS = tuple(writing.SUFFIXES)
ARCHIVER_VERSION = "0.12.0"
"""The version of TorchServe's archiver that this one behaves like, as it is written into archives."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """The archiver's options. ``export_path`` None: the current directory."""

    model_name: str
    handler: str
    version: str
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: str | None = None
    runtime: str = "python"
    export_path: str | None = None
    archive_format: str = "default"
    force: bool = False
    requirements_file: str | None = None
    config_file: str | None = None


Progress = Callable[[int], AbstractContextManager[writing.Count]]
"""Takes the number of bytes to write, and yields a function that counts bytes written."""


def _no_progress(total: int) -> AbstractContextManager[writing.Count]:
    return nullcontext(lambda number: None)


def build(request: BuildRequest, progress: Progress = _no_progress) -> Path:
    """Builds the archive and returns its path. Raises ArchiveNotBuilt, FileNotFoundError."""
    check_name(request.model_name)
    _check_choices(request)
    folder = check_export_path(request.export_path)
    target = check_target(request.model_name, folder, archive_format=request.archive_format, force=request.force)
    found = collect(request, leave_out=target)
    manifest = manifest_json(request)
    with progress(sum(path.stat().st_size for path in found.values())) as count:
        writing.write_archive(
            target, found, manifest, archive_format=request.archive_format, name=request.model_name, count=count
        )
    return target


def collect(request: BuildRequest, *, leave_out: Path | None = None) -> contents.Contents:
    """Collects what the archive will hold, besides the manifest."""
    collector = contents.Collector(leave_out=leave_out)
    for path in (request.model_file, request.serialized_file, contents.handler_path(request.handler)):
        if path:
            collector.add_file(Path(path))
    if request.extra_files:
        collector.add_extra(request.extra_files)
    for path in (request.requirements_file, request.config_file):
        if path:
            collector.add_file(Path(path))
    return collector.checked()


def manifest_json(request: BuildRequest) -> str:
    return json.dumps(manifest_dict(request), indent=2)


def manifest_dict(request: BuildRequest) -> dict[str, Any]:
    """Returns the manifest in TorchServe's order of keys, without what was not given."""
    model = {
        "modelName": request.model_name,
        "serializedFile": base_name(request.serialized_file),
        "handler": base_name(request.handler),
        "modelFile": base_name(request.model_file),
        "modelVersion": request.version,
        "requirementsFile": base_name(request.requirements_file),
        "configFile": base_name(request.config_file),
    }
    return {
        "createdOn": created_on(),
        "runtime": request.runtime,
        "model": {key: value for key, value in model.items() if value},
        "archiverVersion": ARCHIVER_VERSION,
    }


def created_on() -> str:
    return time.strftime("%d/%m/%Y %H:%M:%S", time.localtime(writing.now()))


def base_name(path: str | None) -> str | None:
    return path.rpartition("/")[2] if path else None


def check_name(name: str, kind: str = "model") -> None:
    if not _NAME.fullmatch(name):
        raise ArchiveNotBuilt(
            f"{kind.capitalize()} name contains special characters.\n"
            f"The allowed regular expression filter for {kind} name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$"
        )


def check_export_path(export_path: str | None) -> Path:
    """Creates the directory if it is missing."""
    folder = Path(export_path) if export_path else Path.cwd()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ArchiveNotBuilt(no_directory(folder)) from None
    return folder


def no_directory(path: Path | str) -> str:
    return f"Given export-path {path} is not a directory. Point to a valid export-path directory."


def target_path(model_name: str, folder: Path, *, archive_format: str) -> Path:
    return folder / f"{model_name}{writing.SUFFIXES.get(archive_format, '.mar')}"


def check_target(model_name: str, folder: Path, *, archive_format: str, force: bool) -> Path:
    target = target_path(model_name, folder, archive_format=archive_format)
    if target.exists() and not force:
        raise ArchiveNotBuilt(already_exists(target))
    if target.exists() and target.is_dir() != (archive_format == "no-archive"):
        raise ArchiveNotBuilt(f"{target} exists and is not an archive of this format.")
    return target


def already_exists(target: Path | str, kind: str = "model") -> str:
    return (
        f"{target} already exists.\n"
        f"Please specify --force/-f option to overwrite the {kind} archive output file.\n"
        "See -h/--help for more details."
    )


def _check_choices(request: BuildRequest) -> None:
    if request.archive_format not in FORMATS:
        raise ArchiveNotBuilt(f"Invalid archive format: {request.archive_format}. Choose from: {', '.join(FORMATS)}")
    if request.runtime not in RUNTIMES:
        raise ArchiveNotBuilt(f"Invalid runtime: {request.runtime}. Choose from: {', '.join(RUNTIMES)}")
    if not request.version:
        raise ArchiveNotBuilt("The version is empty.")
