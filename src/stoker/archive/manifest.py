"""``MAR-INF/MANIFEST.json``: describes an archive.  Read by the server and, for `context.manifest`, by workers.

Lenient as TorchServe: unknown keys are ignored, numbers are taken as text, a missing version is ``1.0``.  Strict where
it matters: size, names that lead out of the archive, names that URLs and logs could not carry.  Nothing is looked up or
imported.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stoker.archive.manifest_json import file_of, parse_json, read_bytes, text_of
from stoker.archive.names import safe_parts, shown
from stoker.core.model import RUNTIMES
from stoker.errors import InvalidArchive, UnsafeArchive

log = logging.getLogger(__name__)

MANIFEST_PATH = "MAR-INF/MANIFEST.json"
MAX_NAME_CHARS = 255
DEFAULT_VERSION = "1.0"

_NAME_IN_URLS = re.compile(r"[^/\\\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``None``: not given. ``found``: the archive has a manifest. ``raw``: the parsed file, for the handler."""

    model_name: str | None = None
    model_version: str = DEFAULT_VERSION
    runtime: str | None = "python"
    handler: str | None = None
    serialized_file: str | None = None
    model_file: str | None = None
    requirements_file: str | None = None
    config_file: str | None = None
    source_vocab: str | None = None
    archiver_version: str | None = None
    created_on: str | None = None
    found: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, model_dir: Path) -> Manifest:
        """Loads the manifest of an unpacked model, or the default one. Raises InvalidArchive, ArchiveUnreadable."""
        data = read_bytes(model_dir, MANIFEST_PATH)
        return cls(found=False) if data is None else cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        raw = parse_json(data)
        model = raw.get("model")
        if not isinstance(model, dict):
            raise InvalidArchive("Missing Model entry in manifest file.")
        manifest = cls(
            model_name=text_of(model, "modelName"),
            model_version=_version(model, data),
            runtime=_runtime(raw),
            handler=_handler(model),
            serialized_file=file_of(model, "serializedFile"),
            model_file=file_of(model, "modelFile"),
            requirements_file=file_of(model, "requirementsFile"),
            config_file=file_of(model, "configFile"),
            source_vocab=file_of(model, "sourceVocab"),
            archiver_version=text_of(raw, "archiverVersion"),
            created_on=text_of(raw, "createdOn"),
            raw=raw,
        )
        _warn_of_gaps(manifest)
        return manifest

    def deciding_files(self, handler: str | None) -> list[str]:
        """Returns the files that would run or that decide what runs, with ``handler`` as the effective handler."""
        named = (MANIFEST_PATH, self.model_file, self.requirements_file, self.config_file)
        return [name for name in (*named, *_handler_files(handler or "")) if name is not None]

    def effective(
        self,
        *,
        model_name: str | None = None,
        handler: str | None = None,
        runtime: str | None = None,
        default_model_name: str | None = None,
        default_handler: str | None = None,
    ) -> Manifest:
        """Applies the values of the registration; ``raw`` is left unchanged. Raises InvalidArchive."""
        name = model_name or self.model_name or default_model_name
        check_model_name(name)
        check_version(self.model_version)
        if (runtime or self.runtime) is None:
            raise InvalidArchive("Runtime is not defined or invalid.")
        return replace(
            self,
            model_name=name,
            handler=handler or self.handler or default_handler,
            runtime=runtime or self.runtime,
        )


def handler_is_outside(handler: str) -> bool:
    """Tells whether a handler names a file outside the model's directory, as ``../h.py``; a module name does not."""
    path = handler.partition(":")[0]
    try:
        parts = safe_parts(path)
    except UnsafeArchive:
        return True
    return not parts or parts[-1].startswith(".")


def _handler_files(handler: str) -> tuple[str, ...]:
    """Returns where the handler's module may be in the model's directory."""
    path = handler.partition(":")[0].removesuffix(".py")
    module = path.rpartition("/")[2].replace(".", "/")
    return tuple(dict.fromkeys(f"{name}{end}" for name in (path, module) for end in (".py", "/__init__.py")))


def check_model_name(name: str | None) -> None:
    """Checks a model name. Raises InvalidArchive: empty, or not suitable for URLs, health service names and logs."""
    if not name:
        raise InvalidArchive("Model name is not defined.")
    _check_name("Model name", name)


def check_version(version: str | None) -> None:
    if not version:
        raise InvalidArchive("Model version is not defined.")
    _check_name("Model version", version)


def _check_name(what: str, name: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise InvalidArchive(f"{what} is longer than {MAX_NAME_CHARS} characters.")
    if name in (".", "..") or name != name.strip() or not name.isprintable() or not _NAME_IN_URLS.fullmatch(name):
        raise InvalidArchive(f"{what} is not valid: {shown(name)}")


def default_model_name(url: str) -> str:
    """Makes a model name from the archive's file name, without its extension."""
    name = url.rstrip("/").rpartition("/")[2]
    for extension in (".tar.gz", ".mar", ".model"):
        name = name.removesuffix(extension)
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _version(model: Mapping[str, Any], data: bytes) -> str:
    if isinstance(model.get("modelVersion"), float):  # 1.10 without quotes: keep the spelling
        spelled = json.loads(data.decode("utf-8-sig"), parse_float=str)
        return str(spelled["model"]["modelVersion"])
    return text_of(model, "modelVersion") or DEFAULT_VERSION


def _runtime(raw: Mapping[str, Any]) -> str | None:
    """Returns Python if nothing is given, ``None`` for an unknown runtime (an error unless the caller names one)."""
    value = raw.get("runtime", "python")
    return value if value in RUNTIMES else None


def _handler(model: Mapping[str, Any]) -> str | None:
    value = text_of(model, "handler")
    if value is not None and handler_is_outside(value):
        raise InvalidArchive(f"The manifest names a file outside the archive: handler: {shown(value)}")
    return value


def _warn_of_gaps(manifest: Manifest) -> None:
    for what, value in (("archiverVersion", manifest.archiver_version), ("createdOn", manifest.created_on)):
        if value is None:
            log.warning("The manifest of model %r has no %s.", manifest.model_name, what)
