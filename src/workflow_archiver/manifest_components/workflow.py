"""`Workflow`: the ``workflow`` entry of a manifest."""

from __future__ import annotations

import json
from typing import Any

from stoker.archive.builder import base_name


class Workflow:
    """Keeps paths without their directories, because all named files are at the root of an archive."""

    def __init__(self, workflow_name: str, spec_file: str, handler: str | None = None) -> None:
        self.workflow_name = workflow_name
        self.spec_file = base_name(spec_file)
        self.handler = base_name(handler)
        self.workflow_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, Any]:
        entries = {"workflowName": self.workflow_name, "specFile": self.spec_file, "handler": self.handler}
        return {key: value for key, value in entries.items() if value is not None}

    def __str__(self) -> str:
        return json.dumps(self.workflow_dict)

    def __repr__(self) -> str:
        return json.dumps(self.workflow_dict)
