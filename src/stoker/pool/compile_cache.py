"""Keeps the code that torch.compile generates, in a folder per model version that its workers share across restarts.

Invariant: torch executes what it finds there, so the parent folder is used only if it belongs to this user and no one
else can write to it; without such a folder the code is not kept.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from stoker.core import private_folder
from stoker.core.model import ModelSpec

log = logging.getLogger(__name__)

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_UNUSUAL = re.compile(r"[^\w.-]+")


def environment(folder: Path | None, spec: ModelSpec) -> dict[str, str]:
    """Returns the variable for workers whose model may compile; empty if there is no safe folder."""
    if folder is None or ("pt2" not in spec.yaml_config and spec.warm_up is None):
        return {}
    try:
        folder = folder.expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        safe = private_folder.is_ours(folder)
        reason = "" if safe else "others may write to it"
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        safe, reason = False, getattr(error, "strerror", None) or str(error)
    if not safe:
        text = "compile_cache: %s is not used; compiled code of %s is not kept: %s"
        log.warning(text, folder, spec.key, reason, extra={"event": "compile_cache_unused"})
        return {}
    return {VARIABLE: str(folder / folder_name(spec.key.name, spec.key.version))}


def folder_name(model: str, version: str) -> str:
    """Makes a folder name that is legal, short and unique to the model version."""
    digest = hashlib.sha256(f"{model}/{version}".encode()).hexdigest()[:12]
    return f"{_UNUSUAL.sub('_', model)[:64]}-{_UNUSUAL.sub('_', version)[:32]}-{digest}"
