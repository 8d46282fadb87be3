"""`Manifest`: the content of ``WAR-INF/MANIFEST.json``."""

from __future__ import annotations

import json
from typing import Any

from stoker.archive import workflow_builder
from workflow_archiver.manifest_components.workflow import Workflow


class Manifest:
    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.manifest_dict = self.__to_dict__()
        self.creation_time = self.manifest_dict["createdOn"]
        self.archiver_version = self.manifest_dict["archiverVersion"]

    def __to_dict__(self) -> dict[str, Any]:
        return workflow_builder.manifest_dict(self.workflow.__to_dict__())

    def __str__(self) -> str:
        return json.dumps(self.manifest_dict, indent=2)

    def __repr__(self) -> str:
        return json.dumps(self.manifest_dict, indent=2)
