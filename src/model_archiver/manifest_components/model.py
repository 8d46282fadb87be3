"""`Model`: the ``model`` entry of a manifest."""

from __future__ import annotations

import json
from typing import Any


class Model:
    """Keeps paths without their directories, because all named files are at the root of an archive."""

    def __init__(
        self,
        model_name: str,
        serialized_file: str | None,
        handler: str,
        model_file: str | None = None,
        model_version: str | None = None,
        extensions: Any = None,
        requirements_file: str | None = None,
        config_file: str | None = None,
    ) -> None:
        self.model_name = model_name
        self.serialized_file = _base_name(serialized_file)
        self.model_file = _base_name(model_file)
        self.model_version = model_version
        self.extensions = extensions
        self.handler = _base_name(handler)
        self.requirements_file = _base_name(requirements_file)
        self.config_file = _base_name(config_file)
        self.model_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, Any]:
        entries = {
            "modelName": self.model_name,
            "serializedFile": self.serialized_file,
            "handler": self.handler,
            "modelFile": self.model_file,
            "modelVersion": self.model_version,
            "extensions": self.extensions,
            "requirementsFile": self.requirements_file,
            "configFile": self.config_file,
        }
        return {key: value for key, value in entries.items() if value}

    def __str__(self) -> str:
        return json.dumps(self.model_dict)

    def __repr__(self) -> str:
        return json.dumps(self.model_dict, indent=2)


def _base_name(path: str | None) -> str | None:
    return path.rpartition("/")[2] if path else None
