"""Loads ``.pt2`` files: programs saved by `torch.export.save`, and packages that were compiled ahead of time.

`torch.export.load` unpickles what its format lets it, so a file is checked first: unless the operator trusts the
archive (`weights.TRUST_VARIABLE`), each of its members must be one that is read without running code.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from stoker.handlers import weights

_PROGRAM = re.compile(r"(.+/)?models/[^/]+\.json")
_COMPILED = re.compile(r"(.+/)?data/aotinductor/.+")


def load(path: str, device: Any) -> Any:
    """Returns a callable model. Raises RuntimeError: it is damaged, or holds code without the operator's trust."""
    if not zipfile.is_zipfile(path):
        raise RuntimeError(f"{Path(path).name} is damaged, or not from torch.export.save or aoti_compile_and_package")
    if not _is_program(path):
        return torch._inductor.aoti_load_package(path)
    if not weights.trusted():
        _check(path)
    return torch.export.load(path).module().to(device)


def _is_program(path: str) -> bool:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(map(_PROGRAM.fullmatch, names)) and not any(map(_COMPILED.fullmatch, names))


def _check(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("_config.json") and _names_pickles(json.loads(archive.read(name))):
                raise RuntimeError(weights.refusal(Path(path).name))
            if name.endswith(".pt") and (data := archive.read(name)):
                try:
                    torch.load(io.BytesIO(data), weights_only=True)
                except pickle.UnpicklingError as error:
                    raise RuntimeError(weights.refusal(Path(path).name)) from error


def _names_pickles(document: Any) -> bool:
    members = document.get("config") if isinstance(document, dict) else None
    if not isinstance(members, dict):
        return True
    return any(not isinstance(member, dict) or member.get("use_pickle") for member in members.values())
