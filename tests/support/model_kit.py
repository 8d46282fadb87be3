"""Writes models for tests with real workers, as archives and as directories."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENDLESS_HANDLER = """
import time
from ts.handler_utils.utils import send_intermediate_predict_response

def handle(data, context):
    if data is None:
        return
    try:
        while True:
            send_intermediate_predict_response(["x" * 1000], context.request_ids, "", 200, context)
            time.sleep(0.001)
    finally:
        open("ended", "w").close()
"""
"""Streams until its client leaves, and then leaves a file in the model's folder."""


def model_archive(
    folder: Path,
    name: str,
    source: str,
    *,
    config: str | None = None,
    version: str = "1.0",
    file: str | None = None,
) -> Path:
    """Writes ``NAME.mar``, or ``file``, with ``source`` as its handler file and ``config`` as its model-config.yaml."""
    path = folder / (file or f"{name}.mar")
    model = {"modelName": name, "modelVersion": version, "handler": "service.py"}
    with zipfile.ZipFile(path, "w") as mar:
        if config is not None:
            model["configFile"] = "model-config.yaml"
            mar.writestr("model-config.yaml", config)
        mar.writestr("service.py", source)
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))
    return path


def model_directory(
    store: Path,
    name: str,
    handler: str,
    *,
    files: Mapping[str, str | bytes] | None = None,
    config: str = "",
    **model: Any,
) -> Path:
    """Writes an unpacked archive. ``model``: further keys of the manifest's section of that name."""
    folder = store / name
    for file, content in {**(files or {}), "model-config.yaml": config}.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    about = {"modelName": name, "modelVersion": "1.0", "handler": handler, "configFile": "model-config.yaml", **model}
    manifest = {"createdOn": "", "runtime": "python", "archiverVersion": "0.12.0", "model": about}
    manifest["runtime"] = model.pop("runtime", "python")
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    return folder
