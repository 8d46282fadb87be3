"""`Manifest`: the content of ``MAR-INF/MANIFEST.json``."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from model_archiver.manifest_components.model import Model
from stoker.archive import builder


class RuntimeType(Enum):
    PYTHON = "python"
    PYTHON3 = "python3"
    LSP = "LSP"


class Manifest:
    def __init__(self, runtime: str, model: Model) -> None:
        self.creation_time = builder.created_on()
        self.runtime = RuntimeType(runtime)
        self.model = model
        self.archiver_version = builder.ARCHIVER_VERSION
        self.manifest_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, Any]:
        return {
            "createdOn": self.creation_time,
            "runtime": self.runtime.value,
            "model": self.model.__to_dict__(),
            "archiverVersion": self.archiver_version,
        }

    def __str__(self) -> str:
        return json.dumps(self.manifest_dict)

    def __repr__(self) -> str:
        return json.dumps(self.manifest_dict, indent=2)
