"""Writes workflow archives for tests with real workers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def workflow_archive(
    folder: Path,
    name: str,
    specification: Mapping[str, Any],
    *,
    handler: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Writes ``NAME.war``. ``handler``: the source of the handler file."""
    path = folder / f"{name}.war"
    described: dict[str, str] = {"workflowName": name, "specFile": "spec.yaml"}
    with zipfile.ZipFile(path, "w") as war:
        war.writestr("spec.yaml", yaml.safe_dump(dict(specification), sort_keys=False))
        if handler is not None:
            described["handler"] = "functions.py"
            war.writestr("functions.py", handler)
        for file, content in (extra or {}).items():
            war.writestr(file, content)
        manifest = {"createdOn": "01/01/2026 00:00:00", "workflow": described, "archiverVersion": "0.2.15"}
        war.writestr("WAR-INF/MANIFEST.json", json.dumps(manifest))
    return path
