"""Reads the JSON of a manifest, of a model or a workflow: bounded, and with checked values.

Lenient as TorchServe where that is safe: unknown keys are ignored, and numbers are taken as text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stoker.archive.file_source import NotRegular, open_regular
from stoker.archive.names import safe_parts, shown
from stoker.errors import ArchiveUnreadable, InvalidArchive, UnsafeArchive

MAX_MANIFEST_BYTES = 1 << 20
_NOT_PARSED = "Failed to parse signature.json."
"""TorchServe's message for a manifest that it cannot parse."""


def read_bytes(folder: Path, name: str, *, at_most: int = MAX_MANIFEST_BYTES) -> bytes | None:
    """Reads at most one byte over the limit; None: no such file. Raises InvalidArchive, ArchiveUnreadable."""
    try:
        with open_regular(folder / name) as file:
            return file.read(at_most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except NotRegular:
        raise InvalidArchive(f"{shown(name)} is not a file.") from None
    except OSError as error:
        raise ArchiveUnreadable(f"Failed to read {shown(name)}: {os.strerror(error.errno or 0)}") from error


def parse_json(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise InvalidArchive(f"The manifest is larger than {MAX_MANIFEST_BYTES} bytes.")
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidArchive(_NOT_PARSED) from None
    if not isinstance(raw, dict):
        raise InvalidArchive(_NOT_PARSED)
    return raw


def text_of(where: Mapping[str, Any], key: str) -> str | None:
    value = where.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArchive(_NOT_PARSED)
    return value


def file_of(where: Mapping[str, Any], key: str) -> str | None:
    """Returns the name of a file of the archive. Raises InvalidArchive: the name leads out of the archive."""
    value = text_of(where, key)
    if value is None:
        return None
    try:
        inside = bool(safe_parts(value))
    except UnsafeArchive:
        inside = False
    if not inside:
        raise InvalidArchive(f"The manifest names a file outside the archive: {key}: {shown(value)}")
    return value
